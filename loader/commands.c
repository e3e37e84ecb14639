// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every command once: what it takes, what it says of itself, and who does it. Pure. */
#include "commands.h"

#include "cleanup.h"
#include "option_table.h"

const struct sp_command sp_commands[] = {
	{
		.name = "groups",
		.synopsis = "",
		.summary = "every reuseport group on this machine, steered or not",
		.help = "Shows every SO_REUSEPORT group that a visible process holds, in every network\n"
			"namespace: where it listens, how many members it has, who owns them, and\n"
			"what program is attached.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_ALL) | BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.run = sp_cmd_groups,
	},
	{
		.name = "list",
		.synopsis = "",
		.summary = "the groups that steadyport steers",
		.help = "Shows one line for each steered group: its slots, its program, its kept flows.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.run = sp_cmd_list,
	},
	{
		.name = "status",
		.synopsis = "NAME",
		.summary = "one steered group, slot by slot, and what is wrong with it",
		.help = "Shows each slot's state, owner, share of new flows and counters, then in\n"
			"sentences what an operator must know, with the command that follows from it.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 1,
		.run = sp_cmd_status,
	},
	{
		.name = "top",
		.synopsis = "[NAME]",
		.summary = "one steered group, live: new flows, queues, drops of each slot",
		.help = "Shows rates of the last --interval and their history, and lets slots be drained and\n"
			"undrained; ? lists the keys. Without NAME it begins with the first group there is.\n"
			"It works with and without the daemon.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_ONCE) | BIT(OPT_INTERVAL) | BIT(OPT_BPFFS),
		.max_words = 1,
		.run = sp_cmd_top,
	},
	{
		.name = "where",
		.synopsis = "NAME SRC:PORT [DST:PORT]",
		.summary = "which worker a flow goes to, and which one is next",
		.help = "SRC:PORT is the peer's address, DST:PORT the one that it sends to; IPv6 as in\n"
			"[::1]:53. DST defaults to the group's own address or, if that is any address,\n"
			"to the one from which this host answers the peer.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = 3,
		.run = sp_cmd_where,
	},
	{
		.name = "explain",
		.synopsis = "NAME SRC:PORT [DST:PORT]",
		.summary = "the way of one flow, step by step, and if its worker died",
		.help = "Draws what `where` answers: the bucket, the flow table, the view before, the slots\n"
			"that are asked in turn, the worker that gets the flow, and the one that would if\n"
			"that worker died now. The group's ENDPOINT will do for NAME. SRC:PORT and\n"
			"DST:PORT are those of `where`.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_NETNS) | BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = 3,
		.run = sp_cmd_explain,
	},
	{
		.name = "flows",
		.synopsis = "NAME",
		.summary = "UDP flows that are kept, by slot",
		.help = "A flow is kept where its worker is not the one that the current view names. It is\n"
			"named by its hash, as `where` shows it. Entries that are idle for longer than\n"
			"--flow-idle, or needed no more, leave with the next `sync` at rest.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_ALL) | BIT(OPT_SLOT) | BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 1,
		.run = sp_cmd_flows,
	},
	{
		.name = "counters",
		.synopsis = "NAME",
		.summary = "what the program did, slot by slot",
		.help = "Shows every counter that is not zero, and says what it counts.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 1,
		.run = sp_cmd_counters,
	},
	{
		.name = "doctor",
		.synopsis = "[ENDPOINT]",
		.summary = "what is wrong with this machine or a group, and what mends it",
		.help = "Looks at the kernel, this process's rights and bpffs, and at one group, steered or\n"
			"not, which may also be named by its NAME; without ENDPOINT at all that are steered.\n"
			"Each finding says what is so, why it matters, and the command that mends it. Of a\n"
			"group that is not steered it also computes what the kernel's hash does to flows\n"
			"when a member leaves. Exits 1 when a finding is an error.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_WATCH) | BIT(OPT_NETNS) | BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.max_words = 1,
		.run = sp_cmd_doctor,
	},
	{
		.name = "snapshot",
		.synopsis = "NAME",
		.summary = "the whole state of a steered group as JSON",
		.help = "For support tickets, for tests, and for `restore`. It holds the key of the flow hash\n"
			"unless --no-key is given. It is JSON with and without --json.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_NO_KEY) | BIT(OPT_JSON) | BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 1,
		.run = sp_cmd_snapshot,
	},
	{
		.name = "demo",
		.synopsis = "",
		.summary = "see the kernel lose flows when a worker dies, and steadyport keep them",
		.help = "Starts real workers in a network namespace of its own, drives flows, kills\n"
			"workers: first under the kernel's hash, then under steadyport. Nothing outside\n"
			"that namespace is touched.\n",
		.kind = SP_COMMAND_LOOKS,
		.options = BIT(OPT_PROTO) | BIT(OPT_WORKERS) | BIT(OPT_FLOWS) | BIT(OPT_KILL) |
			   BIT(OPT_TOUR) | BIT(OPT_ROLLING) | BIT(OPT_SVG) | BIT(OPT_JSON),
		.run = sp_cmd_demo,
	},
	{
		.name = "help",
		.synopsis = "[COMMAND]",
		.summary = "this text, or that of a command",
		.help = "",
		.kind = SP_COMMAND_LOOKS,
		.max_words = 1,
	},
	{
		.name = "attach",
		.synopsis = "NAME ENDPOINT",
		.summary = "steer a running group from now on",
		.help = "ENDPOINT is tcp:127.0.0.1:8080, udp:[::]:443, udp:[fe80::1%eth0]:53, or\n"
			"tcp:8080 for any address. Servers need no change and no restart. Repeating it\n"
			"completes what was interrupted.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_LEARN) | BIT(OPT_FLOW_IDLE) | BIT(OPT_SLOTS) | BIT(OPT_UPGRADE) |
			   BIT(OPT_TRACK) | BIT(OPT_HASH) | BIT(OPT_BALANCE) | BIT(OPT_SEED) |
			   BIT(OPT_FLOWS) | BIT(OPT_REPLACE) | BIT(OPT_PARTIAL) | BIT(OPT_NETNS) |
			   BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = 2,
		.run = sp_cmd_attach,
	},
	{
		.name = "sync",
		.synopsis = "NAME",
		.summary = "enrol new members and mark the dead ones",
		.help = "All newcomers of one call share one transition. Calling it again changes nothing.\n"
			"A group that came back, or lost its program, is attached again. With balance\n"
			"least-conn connections are counted again.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_REPLACE) | BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 1,
		.run = sp_cmd_sync,
	},
	{
		.name = "drain",
		.synopsis = "NAME SLOT...",
		.summary = "no new flows to these slots, old ones stay",
		.help = "SLOT is a number or a range like 4-7. TCP: no new connections. UDP: flows that are\n"
			"seen within the learn window are kept where they are. A new worker in the slot\n"
			"starts undrained. With --wait it returns when the worker can be stopped: UDP: no\n"
			"kept flow is left; TCP: nothing waits to be accepted and, where that can be seen,\n"
			"none of the slot's processes has a connection on that port.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_WAIT) | BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = SP_OPTIONS_WORDS_MAX,
		.run = sp_cmd_drain,
	},
	{
		.name = "undrain",
		.synopsis = "NAME SLOT...",
		.summary = "let drained or ejected slots take new flows again",
		.help = "",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = SP_OPTIONS_WORDS_MAX,
		.run = sp_cmd_undrain,
	},
	{
		.name = "eject",
		.synopsis = "NAME SLOT...",
		.summary = "take everything away from a worker that hangs",
		.help = "Its UDP flows leave at once, too. It comes back with undrain.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = SP_OPTIONS_WORDS_MAX,
		.run = sp_cmd_eject,
	},
	{
		.name = "retire",
		.synopsis = "NAME SLOT...",
		.summary = "forget dead slots for good",
		.help = "Their share goes to the other slots, by moving as few buckets as can be.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = SP_OPTIONS_WORDS_MAX,
		.run = sp_cmd_retire,
	},
	{
		.name = "weight",
		.synopsis = "NAME SLOT=W...",
		.summary = "give slots another share of the new flows",
		.help = "W is 0 to 1000, 100 by default; shares are W over the sum of all. 4-7=50 sets four slots.\n"
			"Existing UDP flows stay.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = SP_OPTIONS_WORDS_MAX,
		.run = sp_cmd_weight,
	},
	{
		.name = "balance",
		.synopsis = "NAME WHICH",
		.summary = "place new connections by load, or by the hash again",
		.help = "WHICH is hash; least-queue: the worker with the fewest connections that wait for its\n"
			"accept(); or least-conn: with the fewest that wait or are open. The hash's own where\n"
			"none has fewer. TCP only. Connections stay.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_BPFFS),
		.min_words = 2,
		.max_words = 2,
		.run = sp_cmd_balance,
	},
	{
		.name = "upgrade",
		.synopsis = "NAME",
		.summary = "replace the program by the one of this steadyport",
		.help = "Slots, views, kept flows and counters stay: no flow moves, no packet is lost.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 1,
		.run = sp_cmd_upgrade,
	},
	{
		.name = "restore",
		.synopsis = "FILE [NAME]",
		.summary = "a steered group from a snapshot, under its own name or another",
		.help = "FILE is what `snapshot` wrote, - is stdin. Members that are the very sockets of the\n"
			"snapshot get their slots back, others are new. Views, kept flows, weights and\n"
			"counters are as they were. If nobody listens there, `sync` attaches later.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_NETNS) | BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 2,
		.run = sp_cmd_restore,
	},
	{
		.name = "detach",
		.synopsis = "NAME",
		.summary = "give the group back to the kernel's own hash",
		.help = "Detaches the program and removes all of NAME's pins.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_BPFFS),
		.min_words = 1,
		.max_words = 1,
		.run = sp_cmd_detach,
	},
	{
		.name = "run",
		.synopsis = "",
		.summary = "look after all configured groups, as a daemon",
		.help = "Attaches each group as soon as it exists, enrols new workers as they call listen()\n"
			"or bind(), and attaches again a group that died and came back. Runs in the\n"
			"foreground. SIGHUP reads the configuration again; SIGTERM ends it: groups stay\n"
			"steered, unless on-exit = detach. Killed and started again it goes on where it was.\n",
		.kind = SP_COMMAND_CHANGES,
		.options = BIT(OPT_CONFIG) | BIT(OPT_CHECK) | BIT(OPT_BPFFS),
		.run = sp_cmd_run,
	},
};

const size_t sp_ncommands = SP_ARRAY_SIZE(sp_commands);
