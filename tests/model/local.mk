# SPDX-License-Identifier: MIT
# tests/model: the exhaustive models, run by spin (run.sh says how).

dist_check_SCRIPTS += tests/model/run.sh
EXTRA_DIST += \
	tests/model/bitmap.pml \
	tests/model/gift.pml \
	tests/model/growth.pml \
	tests/model/pool.pml \
	tests/model/share.pml \
	tests/model/step.pml \
	tests/model/wait.pml

# `make check-model`: the large sizes, and all mutants.
.PHONY: check-model
check-model:
	@CC='$(CC)' $(SHELL) $(srcdir)/tests/model/run.sh full
