// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every option once: what it is called, what it says of itself, and how its value is read. Pure. */
#include "option_table.h"

#include <ctype.h>
#include <string.h>
#include "cleanup.h"
#include "config.h"
#include "demo.h"
#include "pin.h"
#include "value.h"

#define SEED_DIGITS 32

static const char *parse_learn(const char *value, struct sp_options *options)
{
	return sp_value_duration(value, &options->args.learn_ns);
}

static const char *parse_flow_idle(const char *value, struct sp_options *options)
{
	return sp_value_flow_idle(value, &options->args.flow_idle_ns);
}

static const char *parse_wait(const char *value, struct sp_options *options)
{
	options->args.has_wait = true;
	return sp_value_duration(value, &options->args.wait_ns);
}

static const char *parse_watch(const char *value, struct sp_options *options)
{
	return sp_value_duration(value, &options->args.watch_ns);
}

static const char *parse_track(const char *value, struct sp_options *options)
{
	return sp_value_track(value, &options->args.track);
}

static const char *parse_hash(const char *value, struct sp_options *options)
{
	return sp_value_hash(value, &options->args.hash);
}

static const char *parse_balance(const char *value, struct sp_options *options)
{
	return sp_value_balance(value, &options->args.balance);
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* The key's bytes in order are its two words in little-endian, as in the SipHash paper's vectors. */
static const char *parse_seed(const char *value, struct sp_options *options)
{
	__u64 seed[2] = { 0, 0 };

	if (strlen(value) != SEED_DIGITS || strspn(value, "0123456789abcdefABCDEF") != SEED_DIGITS)
		return "a seed is 32 hexadecimal digits";
	for (int i = 0; i < SEED_DIGITS / 2; i++) {
		__u64 byte = hex_digit(value[2 * i]) << 4 | hex_digit(value[2 * i + 1]);

		seed[i / 8] |= byte << 8 * (i % 8);
	}
	memcpy(options->args.seed, seed, sizeof(seed));
	options->args.has_seed = true;
	return NULL;
}

static const char *parse_flows(const char *value, struct sp_options *options)
{
	return sp_value_flows(value, &options->args.flows);
}

static const char *parse_slots(const char *value, struct sp_options *options)
{
	return sp_value_slots(value, &options->args.slots);
}

static const char *parse_slot(const char *value, struct sp_options *options)
{
	__u64 slot;

	if (!sp_value_number(value, 0, SP_SLOTS_MAX - 1, &slot))
		return "slots are 0 to 1023";
	options->args.slot = slot;
	return NULL;
}

static const char *parse_upgrade(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.upgrade = true;
	return NULL;
}

static const char *parse_no_key(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.no_key = true;
	return NULL;
}

static const char *parse_replace(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.replace = true;
	return NULL;
}

static const char *parse_partial(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.partial = true;
	return NULL;
}

static const char *parse_netns(const char *value, struct sp_options *options)
{
	if (!*value)
		return "it is a process id, or a path such as /run/netns/NAME";
	options->args.netns = value;
	return NULL;
}

static const char *parse_all(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.all = true;
	return NULL;
}

static const char *parse_once(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.is_once = true;
	return NULL;
}

static const char *parse_interval(const char *value, struct sp_options *options)
{
	return sp_value_interval(value, &options->args.interval_ns);
}

static const char *parse_json(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.json = true;
	return NULL;
}

static const char *parse_proto(const char *value, struct sp_options *options)
{
	bool is_both = !strcmp(value, "both");

	if (!is_both && strcmp(value, "udp") && strcmp(value, "tcp"))
		return "it is one of udp, tcp, both";
	options->args.do_udp = is_both || !strcmp(value, "udp");
	options->args.do_tcp = is_both || !strcmp(value, "tcp");
	return NULL;
}

static const char *parse_workers(const char *value, struct sp_options *options)
{
	__u64 workers;

	if (!sp_value_number(value, 2, SP_DEMO_WORKERS_MAX, &workers))
		return "it is a whole number from 2 to 64";
	options->args.workers = workers;
	return NULL;
}

static const char *parse_kill(const char *value, struct sp_options *options)
{
	__u64 kill;

	if (!sp_value_number(value, 1, SP_DEMO_WORKERS_MAX - 1, &kill))
		return "it is a whole number from 1 up, and less than the workers";
	options->args.kill = kill;
	return NULL;
}

static const char *parse_tour(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.is_tour = true;
	return NULL;
}

static const char *parse_rolling(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.is_rolling = true;
	return NULL;
}

static const char *parse_svg(const char *value, struct sp_options *options)
{
	if (!*value)
		return "it is a file";
	options->args.svg = value;
	return NULL;
}

static const char *parse_config(const char *value, struct sp_options *options)
{
	if (!*value)
		return "it is a file";
	options->args.config = value;
	return NULL;
}

static const char *parse_check(const char *value, struct sp_options *options)
{
	(void)value;
	options->args.is_check = true;
	return NULL;
}

static const char *parse_bpffs(const char *value, struct sp_options *options)
{
	if (!*value)
		return "it is a directory";
	options->args.bpffs = value;
	return NULL;
}

static const char *parse_verbose(const char *value, struct sp_options *options)
{
	(void)value;
	options->verbosity++;
	return NULL;
}

static const char *parse_help(const char *value, struct sp_options *options)
{
	(void)value;
	options->wants_help = true;
	return NULL;
}

static const char *parse_version(const char *value, struct sp_options *options)
{
	(void)value;
	options->wants_version = true;
	return NULL;
}

const struct sp_option sp_option_table[] = {
	[OPT_LEARN] = { "learn", 0, "DURATION",
			"how long after a change unknown flows count as old ones\n"
			"(500ms, 5s, 2m; 0: not at all; default 5s)",
			parse_learn },
	[OPT_FLOW_IDLE] = { "flow-idle", 0, "DURATION",
			    "how long a kept flow may be silent before it counts as a new\n"
			    "one (whole seconds; 0: for ever; default 180s)",
			    parse_flow_idle },
	[OPT_TRACK] = { "track", 0, "transition|always|off",
			"UDP flows to remember: transition (default: those that a\n"
			"change would have moved), always (every one) or off",
			parse_track },
	[OPT_HASH] = { "hash", 0, "siphash|kernel",
		       "siphash (default, keyed) or kernel (about 30 ns less for\n"
		       "each packet, but `where` cannot compute it)",
		       parse_hash },
	[OPT_BALANCE] = { "balance", 0, "hash|least-queue|least-conn",
			  "TCP: who gets a new connection: hash (default), least-queue\n"
			  "(the worker with the fewest that wait for its accept()) or\n"
			  "least-conn (with those that it has accepted, too)",
			  parse_balance },
	[OPT_SEED] = { "seed", 0, "HEX", "key of the flow hash, 32 hex digits; default: random", parse_seed },
	[OPT_FLOWS] = { "flows", 0, "N",
			"attach: room for kept flows (default 65536);\n"
			"demo: flows to drive (default 1000)",
			parse_flows },
	[OPT_SLOTS] = { "slots", 0, "N",
			"slots to have counters for from the start; default: the members\n"
			"there are. More are made when they are needed",
			parse_slots },
	[OPT_REPLACE] = { "replace", 0, NULL, "take over from another program, or from another user",
			  parse_replace },
	[OPT_PARTIAL] = { "partial", 0, NULL,
			  "go on though some members are held by processes that cannot\n"
			  "be read; those will get no new flows",
			  parse_partial },
	[OPT_UPGRADE] = { "upgrade", 0, NULL, "if NAME was attached by an older steadyport, upgrade it first",
			  parse_upgrade },
	[OPT_WAIT] = { "wait", 0, "DURATION",
		       "return when nothing is left on the slots; if that takes longer,\n"
		       "say what is left and exit 1",
		       parse_wait },
	[OPT_WATCH] = { "watch", 0, "DURATION",
			"how long to watch a group's load and its drops (default 1s;\n"
			"0: only what has been counted until now)",
			parse_watch },
	[OPT_NO_KEY] = { "no-key", 0, NULL,
			 "leave the hash key out: whoever has it can aim at one worker.\n"
			 "Such a snapshot cannot be restored",
			 parse_no_key },
	[OPT_NETNS] = { "netns", 0, "PID|PATH",
			"network namespace of the group: that of a process, or a file\n"
			"such as /run/netns/NAME; default: the caller's",
			parse_netns },
	[OPT_ALL] = { "all", 0, NULL,
		      "groups: show the members of each group, too;\n"
		      "flows: list each flow",
		      parse_all },
	[OPT_SLOT] = { "slot", 0, "SLOT", "only the flows of this slot, listed", parse_slot },
	[OPT_ONCE] = { "once", 0, NULL, "look twice, print one frame as text and end", parse_once },
	[OPT_INTERVAL] = { "interval", 0, "DURATION", "time between two looks, 100ms to 1h (default 1s)",
			   parse_interval },
	[OPT_JSON] = { "json", 0, NULL, "answer with one JSON document", parse_json },
	[OPT_PROTO] = { "proto", 0, "udp|tcp|both", "groups to show, or workers to run (default both)",
			parse_proto },
	[OPT_WORKERS] = { "workers", 0, "N", "worker processes, 2 to 64 (default 4)", parse_workers },
	[OPT_KILL] = { "kill", 0, "K", "workers to kill, fewer than there are (default 1)", parse_kill },
	[OPT_TOUR] = { "tour", 0, NULL, "tell the whole story first, step by step", parse_tour },
	[OPT_ROLLING] = { "rolling", 0, NULL,
			  "restart the workers one after another instead, while --flows\n"
			  "TCP connections a second come",
			  parse_rolling },
	[OPT_SVG] = { "svg", 0, "FILE", "write the picture as SVG, too", parse_svg },
	[OPT_CONFIG] = { "config", 0, "FILE",
			 "what to look after\n"
			 "(default " SP_CONFIG_DEFAULT ")",
			 parse_config },
	[OPT_CHECK] = { "check", 0, NULL, "only say whether the configuration is right", parse_check },
	[OPT_BPFFS] = { "bpffs", 0, "DIR",
			"where bpffs is or shall be mounted (default " SP_BPFFS_DEFAULT ")", parse_bpffs },
	[OPT_VERBOSE] = { "verbose", 'v', NULL, "say what is being done; twice: libbpf's debug output, too",
			  parse_verbose },
	[OPT_HELP] = { "help", 'h', NULL, "this text, or that of a command", parse_help },
	[OPT_VERSION] = { "version", 'V', NULL, "version of the program and of its maps' layout",
			  parse_version },
};

const size_t sp_noptions = SP_ARRAY_SIZE(sp_option_table);

_Static_assert(SP_ARRAY_SIZE(sp_option_table) == OPT_COUNT, "every option is in the table");
