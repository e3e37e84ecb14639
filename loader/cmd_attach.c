// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* attach: steer a running group from outside. */
#include <errno.h>
#include "cleanup.h"
#include "cmd.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "netns.h"
#include "render.h"
#include "steered.h"

static int attach(const struct sp_args *args, const struct sp_endpoint *endpoint)
{
	const struct sp_steered_options options = {
		.learn_ns = args->learn_ns,
		.flow_idle_ns = args->flow_idle_ns,
		.track = args->track,
		.hash = args->hash,
		.balance = args->balance,
		.has_seed = args->has_seed,
		.seed = { args->seed[0], args->seed[1] },
		.flows = args->flows,
		.slots = args->slots,
		.may_upgrade = args->upgrade,
	};
	struct sp_reconcile_options reconcile = { .may_replace = args->replace,
						  .may_be_partial = args->partial };
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	sp_autoscanner struct sp_scanner *scanner = NULL;
	sp_autogroups struct sp_groups *groups = NULL;
	const char *name = args->args[0];
	const struct sp_group *group;
	sp_autoclose int lock = -1;
	__u64 netns_cookie;
	__u32 netns_inode;
	int err;

	if (!result)
		return sp_fail(-ENOMEM, "cannot attach");
	err = sp_netns_resolve(args->netns, &netns_cookie, &netns_inode);
	err = err ?: sp_pin_root(args->bpffs);
	/* Loaded once, and not while others wait for the lock: that takes longer than the scans themselves. */
	err = err ?: sp_scanner_open(endpoint->port, &scanner);
	err = err ?: sp_pin_lock(args->bpffs, &lock);
	err = err ?: sp_scanner_scan(scanner, &groups);
	reconcile.scanner = scanner;
	err = err ?: sp_group_find(groups, endpoint, netns_cookie, &group);
	err = err ?: sp_steered_attach(args->bpffs, name, group, &options, &reconcile, result);
	if (!err)
		sp_steered_tell_attached(name, group, result, sp_render_line);
	return err;
}

enum sp_exit sp_cmd_attach(const struct sp_args *args)
{
	struct sp_endpoint endpoint;
	const char *why;

	if (!sp_name_is_valid(args->args[0])) {
		sp_refuse(0, "%s cannot be a group's name: letters, digits, '_' and '-', at most %d",
			  args->args[0], SP_NAME_MAX);
		return SP_EXIT_USAGE;
	}
	if (sp_endpoint_parse(args->args[1], &endpoint, &why)) {
		sp_refuse(0, "%s is not an endpoint: %s", args->args[1], why);
		sp_hint("write it like tcp:127.0.0.1:8080, udp:[::]:443 or tcp:8080");
		return SP_EXIT_USAGE;
	}
	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	return attach(args, &endpoint) ? SP_EXIT_FAILED : SP_EXIT_OK;
}
