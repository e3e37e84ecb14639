// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* run: the daemon, or a look at its configuration. */
#include "cleanup.h"
#include "cmd.h"
#include "config.h"
#include "daemon.h"
#include "kernel.h"
#include "passed.h"
#include "render.h"

enum sp_exit sp_cmd_run(const struct sp_args *args)
{
	/* They are ended when it does not come to tending: nobody would hand them over. */
	sp_autopassed struct sp_passed passed = { 0 };
	sp_autoconfig struct sp_config *config = NULL;

	if (!args->is_check)
		sp_passed_take(&passed);
	if (sp_config_load(args->config, &config))
		return SP_EXIT_FAILED;
	if (args->is_check) {
		sp_render_line("%s: %zu group%s, no errors", args->config, config->ngroups,
			       config->ngroups == 1 ? "" : "s");
		return SP_EXIT_OK;
	}
	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	return sp_daemon_run(args->bpffs, args->config, sp_take_ptr(config), &passed) ? SP_EXIT_FAILED :
											SP_EXIT_OK;
}
