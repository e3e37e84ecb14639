/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of commands as the parser and the help see it. */
#ifndef STEADYPORT_COMMANDS_H
#define STEADYPORT_COMMANDS_H

#include "options.h"

extern const struct sp_command sp_commands[];
extern const size_t sp_ncommands;

#endif
