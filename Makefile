# Gonets, the short way; meson does the work. `make help` lists everything.
MESON = /usr/bin/meson
PREFIX = /usr/local
SETUP = $(MESON) setup -Dprefix=$(PREFIX)
TIME = 60

.PHONY: all help run test hazards bench fuzz install clean

all: build/build.ninja ## build into build/
	@ninja -C build --quiet

help: ## this list
	@sed -n 's/^\([a-z]*\):.* ## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

run: all ## build, and run a server that catches all mail: needs no root and no configuration (ARGS="--port 2526")
	@exec build/gonets try $(ARGS)

test: ## everything is tested; the last line is the count
	@etc/need test
	@[ "$$(id -u)" != 0 ] || etc/accounts
	@exec test/run

hazards: ## which of the known dangers are covered by tests that ran and passed
	@exec test/hazards

bench: all ## measure beside other mail servers, as root (bench/run says how)
	@exec bench/run

fuzz: ## random input against the parsers (TIME=60: seconds in all)
	@etc/need fuzz
	@exec fuzz/run $(TIME)

install: all ## install (PREFIX=/usr/local DESTDIR=)
	@$(MESON) configure build -Dprefix=$(PREFIX)
	@$(MESON) install -C build --quiet
	@[ "$$(id -u)" != 0 ] || [ -n "$(DESTDIR)" ] || etc/accounts

clean: ## remove what was built
	rm -rf build build-asan build-clang build-fuzz test/results

build/build.ninja:
	@etc/need build
	@$(SETUP) build >build.log 2>&1 || { cat build.log; rm -rf build build.log; exit 1; }
	@mv build.log build/setup.log
