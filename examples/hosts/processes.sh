#!/bin/sh
# One training in several processes of this machine, by nothing but a shell:
#
#     sh examples/hosts/processes.sh 2 label_noise --preset=digits --methods=ce,elr
#
# On machines of their own, start one process on each, with the address of the first:
#
#     python -m experiments.label_noise … --coordinator=first:12355 \
#         --num_processes=2 --process_id=0      # and 1 on the second
count=$1 study=$2
shift 2
address=localhost:${PORT:-12355}
index=1
while [ "$index" -lt "$count" ]; do
    python -m "experiments.$study" "$@" --coordinator="$address" \
        --num_processes="$count" --process_id="$index" &
    index=$((index + 1))
done
# Its end is the training's: the others end with it.
python -m "experiments.$study" "$@" --coordinator="$address" \
    --num_processes="$count" --process_id=0
status=$?
wait
exit "$status"
