#!/bin/bash
# Gonets as a peer of the benchmark kit (bench/run finds the kit): start hold|relay|local | stop.
# Relaying is not offered yet: mode relay says so.
. "${BENCH_KIT:?set by bench/run}/peers/common.sh"
PORT=2510
HERE=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${GONETS_BUILD:-$HERE/build}


configure() {
    "$HERE/etc/accounts"
    case $1 in
    hold) action="action a hold" ;;
    local) action="action a maildir $RUN/mail/%{local} user mailbench" ;;
    *) echo "gonets does not relay yet" >&2; exit 2 ;;
    esac
    cat > "$RUN/gonets.conf" <<END
hostname mx.bench.test
spool $RUN/spool
listen 127.0.0.1:$PORT
limit message_size 100M
${GONETS_WORKERS:+workers $GONETS_WORKERS}
$action
match for domain dest.test action a
END
    "$BUILD/gonets" spool create -c "$RUN/gonets.conf" > /dev/null
}

launch() { in_group "$BUILD/gonets" serve -c "$RUN/gonets.conf" & }

main "$@"
