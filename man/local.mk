# SPDX-License-Identifier: MIT
# man: one page per program, one overview (7), the API (3), the configuration (5).

dist_man_MANS +=
