# SPDX-License-Identifier: MIT
# man: one page per program, one overview (7), the API (3).  tests/build/snippets.sh
# compiles the C in them, tests/build/manpages.sh looks at their form.

dist_man_MANS += \
	man/fastalloc.3 \
	man/fastalloc.hpp.3 \
	man/fastalloc_stats.3 \
	man/fastalloc.7 \
	man/fastallocctl.1 \
	man/fastallocd.8

# The other documents; README.md and MIGRATION.md have snippets too.
EXTRA_DIST += ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md MIGRATION.md README.md
