/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a test and the process whose allocations fail have in common: a file that both have mapped. */
#ifndef STEADYPORT_TESTS_SCARCE_H
#define STEADYPORT_TESTS_SCARCE_H

#define SP_SCARCE_ENV "SP_SCARCE"
#define SP_SCARCE_STACKS 16384

/* Allocations that are counted. */
enum sp_scarce_which {
	SP_SCARCE_NEW, /* one of each chain of callers */
	SP_SCARCE_OWN, /* of these, those that the program itself or a function that it called asks for */
};

/* Written by the test while the process is stopped or not yet started, but for the last three. */
struct sp_scarce {
	unsigned int nth; /* the allocation that fails; 0: none */
	enum sp_scarce_which which;
	unsigned int round; /* another one than before: what was counted is forgotten */
	unsigned int counted;
	unsigned int is_injected;
	unsigned int is_libbpf_dead; /* it used what it had not got, which no caller of it can prevent */
};

#endif
