# iommud: build, try, check, test, measure, install. `make help` lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc

bindir = $(PREFIX)/bin
unitdir = $(PREFIX)/lib/systemd/system
sysusersdir = $(PREFIX)/lib/sysusers.d
tmpfilesdir = $(PREFIX)/lib/tmpfiles.d
catalogdir = $(PREFIX)/lib/systemd/catalog
sharedir = $(PREFIX)/share/iommud
docdir = $(PREFIX)/share/doc/iommud
mandir = $(PREFIX)/share/man
bashdir = $(PREFIX)/share/bash-completion/completions
zshdir = $(PREFIX)/share/zsh/site-functions
fishdir = $(PREFIX)/share/fish/vendor_completions.d
manual = iommuctl.1 iommud.8 iommud.toml.5 iommud-rpc.7
units = iommud.service iommud.socket iommud-metrics.socket iommud-vfio.service

# What is generic over types of other modules (the device model over memory, the RPC layer over services) has to be
# specialised across modules. Exclusivity is proven by the debug builds that the tests run: one thread owns the whole
# object graph, so the checks could find nothing in a release but would cost a third of a translation.
release_flags = -Xswiftc -cross-module-optimization -Xswiftc -enforce-exclusivity=unchecked
# Coloured messages are a compiler flag, too: with it a build in a terminal and one in a pipe would redo each other's.
swift_build = swift build --no-color-diagnostics
swift_release = $(swift_build) -c release --static-swift-stdlib $(release_flags)
# A release that was unpacked has its programs in bin.
release_dir = $(if $(wildcard bin/iommud),bin,.build/release)
# The manual pages that the programs' own declarations make.
man_dir = $(if $(wildcard bin/iommud),man,.build/man)

# What `make install` does to the programs: without symbols they have less than half the size. Empty keeps these.
STRIP ?= -s

build_packages = binutils libsystemd-dev pkg-config python3
run_packages = python3 socat jq
check_packages = black pyflakes3 python3 shellcheck
kernel_packages = bc bison flex gcc libelf-dev make xz-utils
test_packages = fish gcc git man-db python3 python3-pip systemd zsh $(run_packages)
deb_packages = $(build_packages) debhelper dh-python lintian
bench_packages = python3 gcc g++ libabsl-dev libjansson-dev util-linux

# Installs the Debian packages that are missing, by name; elsewhere it says what is needed and goes on.
define need
	@missing=; for package in $(1); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || \
	    missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
	    echo "installing$$missing"; \
	    as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	    install="$$as_root apt-get install -y -q --no-install-recommends $$missing"; \
	    $$install >/dev/null || { $$as_root apt-get update -q >/dev/null && $$install >/dev/null; }; \
	elif [ -n "$$missing" ]; then echo "this needs what Debian calls$$missing"; fi
endef

# Debian has no Swift to install.
define need_swift
	@version=$$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p'); \
	set -- $$version; \
	if [ $$(($${1:-0} * 1000 + $${2:-0})) -lt 6002 ]; then \
	    [ -z "$$version" ] && found="there is no swift in PATH" || found="swift in PATH is $$1.$$2"; \
	    echo "this needs Swift 6.2 or later, and $$found: see https://www.swift.org/install/linux/" >&2; exit 1; \
	fi
endef

.PHONY: all build help run check clients format test test-selftest bench soak install uninstall dist dist-archive deb
.PHONY: clean deps

all: build

help:
	@echo 'make build      release binaries in $(release_dir), manual pages in $(man_dir)'
	@echo 'make run        start the daemon on an emulated machine and show one DMA through the SMMU, step by step'
	@echo 'make check      the sources, without a build: format, scripts, documentation, layers, links'
	@echo 'make clients    the generated halves of Clients/python and Clients/c, from what the built daemon declares'
	@echo 'make format     put Swift and Python into the format that make check wants'
	@echo 'make test       everything that can be tested here: make check, unit tests, the daemon over its socket, the'
	@echo '                units, a real kernel in user mode, the clients and the libraries from outside, the manual and'
	@echo '                completion, the commands of README.md, the metrics as others read them, the archive and the'
	@echo '                packages, the service under a systemd of its own; at the end every check that could not run'
	@echo '                here, as "not run: NAME: REASON"'
	@echo 'make test-selftest  the selftest of iommufd that Linux has, under iommuctl run: how far it goes'
	@echo 'make bench      speed, as ratios to reference programs in the same run'
	@echo 'make soak       ten minutes of requests as large as they may be, under a watchdog; then some twenty minutes of'
	@echo '                sudden ends, after each of which all is there that was acknowledged'
	@echo 'make install    what was built, configuration and units (DESTDIR, PREFIX=$(PREFIX), SYSCONFDIR=$(SYSCONFDIR))'
	@echo 'make uninstall  stop and disable the units, and remove what make install copied'
	@echo 'make dist       an archive for machines without Swift, in .build/dist'
	@echo 'make deb        packages for Debian, in the directory above'
	@echo 'make deps       the Debian packages that all of this needs, where they are missing'
	@echo 'make clean      remove what was built'

deps:
	$(call need,$(sort $(build_packages) $(run_packages) $(check_packages) $(test_packages) \
	    $(kernel_packages) $(bench_packages) $(deb_packages)))

build:
	$(need_swift)
	$(call need,$(build_packages))
	$(swift_release) --product iommud
	$(swift_release) --product iommuctl
	Documentation/Manual/generate --bin $(release_dir) --output $(man_dir)

run: build
	$(call need,$(run_packages))
	@Tests/Support/with-daemon --bin $(release_dir) --log .build/iommud.log -- $(release_dir)/iommuctl demo

check:
	$(need_swift)
	$(call need,$(check_packages))
	Tests/Support/check-source

clients: build
	$(call need,$(run_packages))
	Clients/generate --bin $(release_dir)

format:
	$(need_swift)
	$(call need,$(check_packages))
	swift format format --in-place --parallel --recursive Package.swift Sources Tests
	Tests/Support/check-source --format

test:
	$(need_swift)
	@Tests/Support/test-report begin
	Tests/Support/step check $(MAKE) --no-print-directory check
	Tests/Support/step build $(MAKE) --no-print-directory build
	$(call need,$(sort $(build_packages) $(test_packages) $(kernel_packages) $(deb_packages)))
	Tests/Support/step check-size Tests/Support/check-size
	Tests/Support/step build-tests $(swift_build) --build-tests
	Tests/Support/step unit-tests Tests/Support/unit-tests
	Tests/Support/step check-kernel Tests/Support/check-kernel
	Tests/Support/step check-clients Tests/Support/check-clients
	Tests/Support/step check-libraries Tests/Support/check-libraries
	Tests/Support/step check-units Tests/Support/check-units
	Tests/Support/step check-manual Tests/Support/check-manual
	Tests/Support/step check-readme Tests/Support/check-readme
	Tests/Support/step check-metrics Tests/Support/check-metrics
	Tests/Support/step check-dist Tests/Support/check-dist
	Tests/Support/step check-package Tests/Support/check-package
	Tests/Support/step check-service Tests/Support/check-service
	@Tests/Support/test-report not-run

# Not part of `make test`: it says how far the kernel's own tests go.
test-selftest: build
	$(call need,gcc libcap-dev python3)
	Tests/Support/check-selftest --bin $(release_dir)

bench:
	$(need_swift)
	$(call need,$(sort $(build_packages) $(bench_packages)))
	$(swift_release)
	python3 Tests/Bench/run.py --build $(release_dir)

soak:
	$(need_swift)
	$(call need,$(sort $(build_packages) $(bench_packages)))
	$(swift_release)
	python3 Tests/Bench/soak.py --build $(release_dir)
	$(swift_build) --build-tests
	IOMMUD_CAMPAIGN_ROUNDS=10000 IOMMUD_KILLS=200 \
	    swift test --skip-build --filter 'CampaignTests|DaemonRestartTests'

# Copies, and needs no Swift. Units name the installed path of the daemon; a configuration that is there already stays.
install:
	@test -x $(release_dir)/iommud -a -x $(release_dir)/iommuctl -a -e $(man_dir)/iommuctl.1 || \
	    { echo 'there is nothing to install yet: run "make build" first, as a user who has Swift' >&2; exit 1; }
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(unitdir) $(DESTDIR)$(SYSCONFDIR)/iommud $(DESTDIR)$(docdir)
	install -d $(DESTDIR)$(sharedir)/drop-ins $(DESTDIR)$(sharedir)/udev
	install -d $(DESTDIR)$(sysusersdir) $(DESTDIR)$(tmpfilesdir) $(DESTDIR)$(catalogdir)
	install -d $(DESTDIR)$(bashdir) $(DESTDIR)$(zshdir) $(DESTDIR)$(fishdir)
	install -d $(foreach section,1 5 7 8,$(DESTDIR)$(mandir)/man$(section))
	install $(STRIP) -m 755 $(release_dir)/iommud $(release_dir)/iommuctl $(DESTDIR)$(bindir)
	for unit in $(units); do \
	    sed -e 's|/usr/bin/iommud|$(bindir)/iommud|g' -e 's|/usr/share/doc/iommud|$(docdir)|' systemd/$$unit \
	        > $(DESTDIR)$(unitdir)/$$unit && chmod 644 $(DESTDIR)$(unitdir)/$$unit || exit; \
	done
	install -m 644 systemd/drop-ins/*.conf $(DESTDIR)$(sharedir)/drop-ins
	install -m 644 systemd/sysusers.d/iommud.conf $(DESTDIR)$(sysusersdir)/iommud.conf
	install -m 644 systemd/tmpfiles.d/iommud.conf $(DESTDIR)$(tmpfilesdir)/iommud.conf
	install -m 644 systemd/udev/70-iommud.rules $(DESTDIR)$(sharedir)/udev
	install -m 644 systemd/iommud.catalog $(DESTDIR)$(catalogdir)/iommud.catalog
	for page in $(manual); do install -m 644 $(man_dir)/$$page $(DESTDIR)$(mandir)/man$${page##*.} || exit; done
	install -m 644 Config/completions/iommuctl.bash $(DESTDIR)$(bashdir)/iommuctl
	install -m 644 Config/completions/_iommuctl $(DESTDIR)$(zshdir)/_iommuctl
	install -m 644 Config/completions/iommuctl.fish $(DESTDIR)$(fishdir)/iommuctl.fish
	install -m 644 Config/lab.toml $(DESTDIR)$(sharedir)
	install -m 644 Config/iommud.toml $(DESTDIR)$(sharedir)/iommud.toml.example
	test -e $(DESTDIR)$(SYSCONFDIR)/iommud/iommud.toml || \
	    install -m 644 Config/iommud.toml $(DESTDIR)$(SYSCONFDIR)/iommud/iommud.toml
	install -m 644 Config/prometheus-alerts.yml Config/grafana-dashboard.json $(DESTDIR)$(sharedir)
	install -m 644 README.md CHANGELOG.md SECURITY.md LICENSE Documentation/Metrics.md $(DESTDIR)$(docdir)

# Undoes what `make install` and `systemctl enable` did. A configuration that was changed stays, and so do the users.
uninstall:
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
	    echo systemctl disable --now $(units); systemctl disable --now $(units) || true; \
	fi
	cd $(DESTDIR)$(bindir) && rm -f iommud iommuctl
	cd $(DESTDIR)$(unitdir) && rm -f $(units)
	rm -f $(DESTDIR)$(sysusersdir)/iommud.conf $(DESTDIR)$(tmpfilesdir)/iommud.conf
	rm -f $(DESTDIR)$(catalogdir)/iommud.catalog
	rm -f $(foreach page,$(manual),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(page)))/$(page))
	rm -f $(DESTDIR)$(bashdir)/iommuctl $(DESTDIR)$(zshdir)/_iommuctl $(DESTDIR)$(fishdir)/iommuctl.fish
	rm -rf $(DESTDIR)$(sharedir) $(DESTDIR)$(docdir)
	@configuration=$(DESTDIR)$(SYSCONFDIR)/iommud; \
	if cmp -s Config/iommud.toml $$configuration/iommud.toml; then rm $$configuration/iommud.toml; fi; \
	rmdir $$configuration 2>/dev/null || [ ! -d $$configuration ] || echo "$$configuration stays: it was changed"
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
	    rm -rf /run/iommud /run/iommud-offers; systemctl daemon-reload; journalctl --update-catalog; \
	    echo 'the user iommud and the groups iommud, iommud-admin and iommud-metrics stay'; \
	fi

# An archive for machines without Swift: what was built, stripped, and all that `make install` copies.
version = $(shell sed -n 's/.*static let text = "\(.*\)".*/\1/p' Sources/IOMMUService/Core/DaemonFacts.swift)
archive = iommud-$(version)-linux-$(shell uname -m)

dist: build dist-archive

dist-archive:
	@test -x $(release_dir)/iommud || { echo 'there is nothing to pack yet: run "make dist"' >&2; exit 1; }
	@rm -rf .build/dist && mkdir -p .build/dist/$(archive)/bin
	@install $(STRIP) -m 755 $(release_dir)/iommud $(release_dir)/iommuctl .build/dist/$(archive)/bin
	@cp -r --parents Config Documentation systemd Makefile *.md LICENSE .build/dist/$(archive)
	@cp -r $(man_dir) .build/dist/$(archive)/man
	@tar -C .build/dist --owner=0 --group=0 --numeric-owner --sort=name -czf .build/dist/$(archive).tar.gz $(archive)
	@echo .build/dist/$(archive).tar.gz

# Debian's packages, in the directory above, as dpkg-buildpackage does it.
deb:
	$(call need,$(deb_packages))
	dpkg-buildpackage -us -uc -b

clean:
	swift package clean
