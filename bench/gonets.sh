#!/bin/bash
# Gonets as a peer of the benchmark kit (bench/run finds the kit): start hold|relay|local | stop.
. "${BENCH_KIT:?set by bench/run}/peers/common.sh"
PORT=2510
HERE=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${GONETS_BUILD:-$HERE/build}


configure() {
    "$HERE/etc/accounts"
    case $1 in
    hold) action="action a hold" ;;
    local) action="action a maildir $RUN/mail/%{local} user mailbench" ;;
    relay) action="action a relay via 127.0.0.1:$SINK_PORT" ;;
    esac
    cat > "$RUN/gonets.conf" <<END
hostname mx.bench.test
spool $RUN/spool
listen 127.0.0.1:$PORT
limit message_size 100M
${GONETS_WORKERS:+workers $GONETS_WORKERS}
$action
match from local for domain dest.test action a
END
    "$BUILD/gonets" spool create -c "$RUN/gonets.conf" > /dev/null
}

launch() { in_group "$BUILD/gonets" serve -c "$RUN/gonets.conf" & }

main "$@"
