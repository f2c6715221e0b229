#!/usr/bin/env bash
# From a fresh clone to masks, scores and videos: set up, make synthetic sequences, segment them.
#   bash scripts/quickstart.sh [OUTPUT]     OUTPUT: where data and results go (default: runs/quickstart)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
prepare_environment ""

output=${1:-runs/quickstart}
echo "1/2  synthetic sequences in the DAVIS layout -> $output/data"
python scripts/make_synthetic_davis.py "$output/data" \
    --sequences 4 --frames 24 --size 240x428 --objects 1-3

echo "2/2  segment and score them -> $output/results"
python eval.py --config configs/quickstart.yaml --dataset davis2017-val --data "$output/data" \
    --output "$output/results" --overlay

cat <<EOF

The network's weights are random, so the scores show that everything runs, not what a trained
network does. With weights: python eval.py --weights stcn.pth --video my.mp4 --mask first.png
report:  $output/results/report.html
videos:  $output/results/overlays/
EOF
