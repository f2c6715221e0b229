#!/usr/bin/env bash
# From a fresh clone to a trained network, masks, scores and videos: set up, make synthetic
# sequences, train a small network on them in two stages, segment sequences that it has not seen.
# Some ten minutes on two CPU cores after the installation; run again, it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
prepare_environment ""

run=runs/quickstart
look=(--frames 24 --size 192x336 --objects 1-2 --minimum-area 0.05 --workers 2)
validation=(--dataset davis2017-val --data "$run/data")

echo "1/5  synthetic sequences in the DAVIS layout -> $run/data"
python scripts/make_synthetic_davis.py "$run/data" --split train --sequences 100 "${look[@]}"
python scripts/make_synthetic_davis.py "$run/data" --split val --first-number 1000 --sequences 8 \
    "${look[@]}"

echo "2/5  training from random weights, still images first, then videos -> $run/training"
python train.py --config configs/quickstart.yaml --output "$run/training" >"$run/config.txt"

echo "3/5  the trivial baseline on unseen sequences: the first mask repeated"
python scripts/repeat_first_mask.py "${validation[@]}" --output "$run/baseline"
python eval.py --score-only "$run/baseline" "${validation[@]}" | grep '^mean'

echo "4/5  the trained network on the same sequences -> $run/results"
python eval.py --config configs/quickstart.yaml --weights "$run/training/last.pt" \
    "${validation[@]}" --output "$run/results" --overlay

echo "5/5  one of them with the weights that come with the package -> $run/shipped"
clip=synthetic-01002
python eval.py "${validation[@]}" --sequence $clip --output "$run/shipped" --overlay

cat <<EOF

report:  $run/results/report.html
videos:  $run/results/overlays/$clip.mp4 (trained just now) and the other sequences beside it
         $run/shipped/overlays/$clip.mp4 (the weights that come with the package)
curves:  tensorboard --logdir $run/training
EOF
