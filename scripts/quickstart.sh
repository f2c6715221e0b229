#!/usr/bin/env bash
# From a fresh clone to a trained network with masks, scores and videos: install, make synthetic
# sequences, train a tiny network on them in two stages, and segment unseen sequences. Takes five
# to eight minutes on two CPU cores after the installation. Run it again to resume.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
prepare_environment ""

run=runs/quickstart
look=(--frames 24 --size 192x336 --objects 1-2 --minimum-area 0.05 --workers 2)
validation=(--dataset davis2017-val --data "$run/data")

echo "1/5  make synthetic sequences in the DAVIS layout -> $run/data"
python scripts/make_synthetic_davis.py "$run/data" --split train --sequences 100 "${look[@]}"
python scripts/make_synthetic_davis.py "$run/data" --split val --first-number 1000 --sequences 8 \
    "${look[@]}"

echo "2/5  train from random weights, first on still images, then on videos -> $run/training"
python train.py --config configs/quickstart.yaml --output "$run/training" >"$run/config.txt"

echo "3/5  score a trivial baseline on unseen sequences: the first mask, repeated"
python scripts/repeat_first_mask.py "${validation[@]}" --output "$run/baseline"
python eval.py --score-only "$run/baseline" "${validation[@]}" | grep '^mean'

echo "4/5  evaluate the trained network on the same sequences -> $run/results"
python eval.py --config configs/quickstart.yaml --weights "$run/training/last.pt" \
    "${validation[@]}" --output "$run/results" --overlay

echo "5/5  segment one of them with the bundled weights -> $run/bundled"
clip=synthetic-01002
python eval.py "${validation[@]}" --sequence $clip --output "$run/bundled" --overlay

cat <<EOF

report:  $run/results/report.html
videos:  $run/results/overlays/$clip.mp4 (the network just trained), the other sequences beside it
         $run/bundled/overlays/$clip.mp4 (the bundled weights)
curves:  tensorboard --logdir $run/training
page:    .venv/bin/pip install -e ".[demo]" && .venv/bin/scmn-demo    (your own video, with the mouse)
EOF
