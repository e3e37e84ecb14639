// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A steered group from its first day to its last. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "park.h"
#include "recount.h"
#include "render.h"
#include "state.h"
#include "steer.h"
#include "steered.h"
#include "swap.h"
#include "tags.h"
#include "value.h"

#define LISTED_SLOTS_MAX 16

/* --- balance --- */

/* A datagram has no state but its flow: another worker for the next one would tear the flow apart. */
static int refuse_balance(const char *name, enum sp_balance balance)
{
	sp_refuse(0, "%s is UDP, whose flows stay where the hash puts them: balance %s is for TCP", name,
		  sp_value_balance_name(balance));
	sp_hint("to give a slot more or less of the flows: steadyport weight %s SLOT=W", name);
	return -EINVAL;
}

/* What the program counts by must be there before it is, and is in the way of nothing when it is gone. */
int sp_steered_balance(const char *bpffs, struct sp_pins *pins, enum sp_balance balance,
		       const struct sp_groups *groups)
{
	sp_autostate struct sp_state *state = NULL;
	const struct sp_group *group;
	enum sp_balance before;
	bool was_attached;
	__u32 id, unused;
	int err = sp_state_read(pins, &state);

	if (err || state->ctl.balance == balance)
		return err;
	if (state->ctl.protocol == SP_UDP)
		return refuse_balance(pins->name, balance);
	err = sp_steer_program_id(pins, &id);
	if (err)
		return err;
	before = state->ctl.balance;
	group = sp_group_at(groups, &state->ctl, id);
	if (balance == SP_BALANCE_LEAST_CONN)
		err = sp_tags_put_all(pins, state, group);
	err = err ?: sp_swap_balance(bpffs, pins, balance, &was_attached);
	/* Some have been counted before, and some were made when the listeners had their tags and nobody counted. */
	if (!err && balance == SP_BALANCE_LEAST_CONN)
		sp_recount(bpffs, pins, &unused);
	if (err ? balance == SP_BALANCE_LEAST_CONN : before == SP_BALANCE_LEAST_CONN)
		sp_tags_take_all(pins, state, group);
	return err;
}

/* --- attach --- */

static int ctl_for(const struct sp_steered_options *options, const struct sp_group *group,
		   struct sp_ctl *ret_ctl)
{
	struct sp_ctl ctl = {
		.netns_cookie = group->netns_cookie,
		.netns_inode = group->netns_inode,
		.ifindex = group->ifindex,
		.protocol = group->protocol,
		.family = group->address.family,
		.port = group->port,
		.uid = group->uid,
		.hash = options->hash,
		.track = options->track,
		.balance = options->balance,
		.learn_ns = options->learn_ns,
		.flow_idle_s = options->flow_idle_ns / SP_NS_PER_S,
		.key = { options->seed[0], options->seed[1] },
	};

	memcpy(ctl.addr, group->address.bytes, sizeof(ctl.addr));
	if (!options->has_seed && getrandom(ctl.key, sizeof(ctl.key), 0) != sizeof(ctl.key))
		return sp_fail(-errno, "cannot get a random hash key");
	*ret_ctl = ctl;
	return 0;
}

static bool has_member(const struct sp_group *group, __u64 cookie)
{
	for (size_t i = 0; i < group->nmembers; i++)
		if (group->members[i].cookie == cookie)
			return true;
	return false;
}

/*
 * False when NAME is of another network namespace, protocol or port, which a socket keeps for its life. To look into its
 * slots takes a system call for each, and a host may have hundreds of names. One whose sp_ctl has another shape may
 * hold anything.
 */
static bool may_hold(const char *bpffs, const char *name, const struct sp_group *group)
{
	sp_autoclose int fd = sp_pin_open_ctl(bpffs, name);
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info), zero = 0;
	struct sp_ctl ctl;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) || info.value_size != sizeof(ctl) ||
	    bpf_map_lookup_elem(fd, &zero, &ctl))
		return true;
	return ctl.netns_cookie == group->netns_cookie && ctl.protocol == group->protocol &&
	       ctl.port == group->port;
}

/* NAME has the group's sockets in its slots, whatever program is attached now. */
static bool holds_members(const char *bpffs, const char *name, const struct sp_group *group)
{
	sp_autoclose int slots = -1;
	__u64 cookie;

	if (!may_hold(bpffs, name, group))
		return false;
	slots = sp_pin_open_slots(bpffs, name);
	for (__u32 slot = 0; slots >= 0 && slot < SP_SLOTS_MAX; slot++)
		if (!bpf_map_lookup_elem(slots, &slot, &cookie) && has_member(group, cookie))
			return true;
	return false;
}

/*
 * A group that already has a NAME of ours is not foreign, and --replace must not steal it from that name. Nor could it
 * when its program was taken off or replaced: a socket fits one sockarray.
 */
static int refuse_taken(const char *bpffs, const struct sp_group *group)
{
	char endpoint[SP_ENDPOINT_STRLEN];
	sp_autofree char(*names)[SP_NAME_MAX + 1] = NULL;
	size_t count;
	int err;

	err = sp_pin_list(bpffs, &names, &count);
	for (size_t i = 0; !err && i < count; i++) {
		__u32 ids[2];

		err = sp_pin_program_ids(bpffs, names[i], ids);
		if (err)
			break;
		if (group->prog_id && (ids[0] == group->prog_id || ids[1] == group->prog_id)) {
			sp_refuse(0, "%s is steered already, as %s", sp_group_endpoint(group, endpoint),
				  names[i]);
			sp_hint("enrol its new members: steadyport sync %s", names[i]);
			return -EEXIST;
		}
		if (holds_members(bpffs, names[i], group)) {
			sp_refuse(0,
				  "the members of %s are in the slots of %s, whose program is not attached",
				  sp_group_endpoint(group, endpoint), names[i]);
			sp_hint("attach it again: steadyport sync %s%s; or forget it: steadyport detach %s",
				names[i], group->prog_type ? " --replace" : "", names[i]);
			return -EEXIST;
		}
	}
	return err;
}

bool sp_steered_is_at(const struct sp_ctl *ctl, const struct sp_group *group)
{
	return ctl->netns_cookie == group->netns_cookie && ctl->protocol == group->protocol &&
	       ctl->port == group->port && ctl->ifindex == group->ifindex &&
	       ctl->family == group->address.family &&
	       !memcmp(ctl->addr, group->address.bytes, sizeof(ctl->addr));
}

static int refuse_name(const struct sp_pins *pins, const struct sp_state *state)
{
	char endpoint[SP_ENDPOINT_STRLEN];
	struct sp_address address;

	sp_state_address(state, &address);
	sp_refuse(0, "%s is the name of a steered group already: %s:%s", pins->name,
		  sp_protocol_name(state->ctl.protocol),
		  sp_address_format(&address, state->ctl.ifindex, state->ctl.port, endpoint));
	sp_hint("look at it: steadyport status %s; enrol its new members: steadyport sync %s", pins->name,
		pins->name);
	return -EEXIST;
}

/*
 * NAME has pins. If they were published for this very group and never attached, a killed attach is completed; if they
 * are an older steadyport's, they are brought up to date where that was asked for.
 */
static int adopt(const char *bpffs, const char *name, const struct sp_group *group, bool may_upgrade,
		 struct sp_pins *ret_pins)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autostate struct sp_state *state = NULL;
	bool was_attached;
	int err;

	err = (may_upgrade ? sp_pin_open_any : sp_pin_open)(bpffs, name, &pins);
	err = err ?: sp_state_read(&pins, &state);
	if (err)
		return err;
	if (!sp_steered_is_at(&state->ctl, group) || (state->ctl.attached_at && pins.abi == SP_ABI_VERSION))
		return refuse_name(&pins, state);
	if (pins.abi != SP_ABI_VERSION) {
		err = sp_swap(bpffs, &pins, 0, &was_attached);
		if (err)
			return err;
	} else {
		sp_note("%s was published but not attached: completing it", pins.name);
	}
	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

static int create(const char *bpffs, const char *name, const struct sp_group *group,
		  const struct sp_steered_options *options, struct sp_pins *ret_pins)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct sp_ctl ctl;
	int err;

	if (group->protocol == SP_UDP && options->balance != SP_BALANCE_HASH)
		return refuse_balance(name, options->balance);
	err = refuse_taken(bpffs, group);
	err = err ?: ctl_for(options, group, &ctl);
	err = err   ?:
		      sp_steer_load(name, &ctl, options->slots > group->size ? options->slots : group->size,
				    options->flows, &pins);
	err = err ?: sp_pin_publish(bpffs, &pins);
	if (err)
		return err;
	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

int sp_steered_attach(const char *bpffs, const char *name, const struct sp_group *group,
		      const struct sp_steered_options *options, const struct sp_reconcile_options *reconcile,
		      struct sp_reconcile_result *ret_result)
{
	bool is_new = !sp_pin_exists(bpffs, name);
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	int err;

	err = is_new ? create(bpffs, name, group, options, &pins) :
		       adopt(bpffs, name, group, options->may_upgrade, &pins);
	if (err)
		return err;
	err = sp_steered_reconcile(bpffs, &pins, reconcile, ret_result);
	if (!err && !ret_result->size) {
		/* Between our two looks the last member was closed. */
		sp_refuse(0, "the members of %s went away while it was being attached", name);
		err = -ENOENT;
	}
	/* Once it is attached the slots are needed. */
	if (err && is_new && ret_result->did_attach) {
		sp_hint("it is attached all the same; to do what is left to do: steadyport sync %s", name);
	} else if (err && is_new) {
		sp_state_empty_slots(pins.slots);
		sp_pin_remove(bpffs, name);
	}
	return err;
}

/* --- reconcile --- */

bool sp_steered_lacks_room(const struct sp_pins *pins, const struct sp_reconcile_result *result)
{
	__u32 slots = sp_state_counter_slots(pins);

	return slots && result->nslots > slots;
}

int sp_steered_make_room(const char *bpffs, struct sp_pins *pins, struct sp_reconcile_result *result)
{
	bool was_attached;
	int err;

	sp_note("%s: slot %u needs counters of its own: replacing the program", pins->name,
		result->nslots - 1);
	err = sp_swap(bpffs, pins, result->nslots, &was_attached);
	return err ?: sp_steer_program_id(pins, &result->program_id);
}

/* What counts may have been removed by hand. Until it is there again nothing is known, so it comes before all else. */
static int restart(const char *bpffs, struct sp_pins *pins, struct sp_reconcile_result *result)
{
	int err;

	if (sp_pin_has_links(bpffs, pins->name))
		return 0;
	err = sp_tags_start(pins);
	err = err ?: sp_pin_replace_links(bpffs, pins);
	sp_close_fd(&pins->count);
	sp_close_fd(&pins->recount);
	result->did_restart = !err;
	return err;
}

static bool is_counting(const struct sp_pins *pins, int *ret_err)
{
	struct sp_ctl ctl;

	*ret_err = sp_state_read_ctl(pins, &ctl);
	return !*ret_err && ctl.balance == SP_BALANCE_LEAST_CONN;
}

/* A group is steered as it should be whether its connections can be counted or not: the job has not failed. */
static void count_again(const char *bpffs, struct sp_pins *const *pins, struct sp_reconcile_job *jobs,
			size_t njobs)
{
	sp_autofree struct sp_recount *all = calloc(njobs ?: 1, sizeof(*all));
	sp_autofree size_t *whose = calloc(njobs ?: 1, sizeof(*whose));
	size_t count = 0;

	for (size_t i = 0; i < njobs; i++) {
		int *err = &jobs[i].result->count_err;

		if (jobs[i].err || !jobs[i].options.counts_again || !is_counting(pins[i], err))
			continue;
		*err = all && whose ? restart(bpffs, pins[i], jobs[i].result) :
				      sp_fail(-ENOMEM, "cannot count the connections of %s", pins[i]->name);
		if (*err)
			continue;
		all[count].pins = pins[i];
		whose[count++] = i;
	}
	if (!count)
		return;
	sp_recount_all(bpffs, all, count);
	for (size_t i = 0; i < count; i++) {
		jobs[whose[i]].result->count_err = all[i].err;
		jobs[whose[i]].result->corrected = all[i].corrected;
	}
}

void sp_steered_reconcile_all(const char *bpffs, struct sp_pins *const *pins, struct sp_reconcile_job *jobs,
			      size_t njobs)
{
	for (size_t i = 0; i < njobs; i++) {
		jobs[i].pins = pins[i];
		jobs[i].err = sp_swap_complete(bpffs, pins[i]);
	}
	sp_reconcile_all(jobs, njobs);
	count_again(bpffs, pins, jobs, njobs);
}

int sp_steered_reconcile(const char *bpffs, struct sp_pins *pins, const struct sp_reconcile_options *options,
			 struct sp_reconcile_result *ret_result)
{
	struct sp_reconcile_job job = { .options = *options, .result = ret_result };

	sp_steered_reconcile_all(bpffs, &pins, &job, 1);
	if (!job.err && sp_steered_lacks_room(pins, ret_result))
		job.err = sp_steered_make_room(bpffs, pins, ret_result);
	return job.err;
}

/* --- detach --- */

static int detach_group(const struct sp_group *group, const char *name, void (*say)(const char *fmt, ...))
{
	sp_autoclose int socket = -1;
	char endpoint[SP_ENDPOINT_STRLEN];
	int err = sp_group_any_socket(group, &socket);

	if (err == -ESTALE)
		return 0; /* its last member was closed meanwhile */
	err = err ?: sp_group_detach(socket);
	if (err && err != -ENOENT) {
		sp_fail(err, "cannot detach the program from %s", sp_group_endpoint(group, endpoint));
		sp_hint("run it as root in the host's pid namespace (needs CAP_SYS_PTRACE)");
		return err;
	}
	say("%s: detached from %s", name, sp_group_endpoint(group, endpoint));
	if (group->protocol == SP_UDP)
		say("    the kernel's hash decides again: UDP flows may change worker");
	return 0;
}

/* Detaches one program wherever it is attached; *found counts these places. */
static int detach_everywhere(const struct sp_pins *pins, const struct sp_groups *groups, size_t *found,
			     void (*say)(const char *fmt, ...))
{
	__u32 id;
	int err;

	err = sp_steer_program_id(pins, &id);
	for (size_t i = 0; !err && i < groups->ngroups; i++) {
		if (groups->groups[i].prog_id != id)
			continue;
		err = detach_group(&groups->groups[i], pins->name, say);
		(*found)++;
	}
	return err;
}

/*
 * While the program still says where its connections go: without it the kernel's hash would send it more. Of the maps
 * this reads one record, which no version has in another form.
 */
static void stop_parking(const char *bpffs, const char *name, const struct sp_groups *groups)
{
	sp_autoclose int slots = sp_pin_open_slots(bpffs, name), info = sp_pin_open_info(bpffs, name);
	int err = slots < 0 ? slots : info < 0 ? info : sp_park_stop(slots, info, groups);

	if (err && err != -ENOENT)
		sp_warn("%s: the parking socket cannot be reached (%s): it gets traffic until its daemon notices",
			name, strerror(-err));
}

/* What is staged may be the program before this one, still attached where its replacement was killed. */
int sp_steered_detach(const char *bpffs, const char *name, const struct sp_groups *groups,
		      void (*say)(const char *fmt, ...))
{
	sp_autopins struct sp_pins staged = SP_PINS_NONE;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autoclose int slots = -1;
	bool is_staged, is_published;
	size_t found = 0;
	int err;

	stop_parking(bpffs, name, groups);
	err = sp_pin_open_staged_program(bpffs, name, &staged);
	is_staged = !err;
	if (!err)
		err = detach_everywhere(&staged, groups, &found, say);
	if (err && err != -ENOENT)
		return err;
	err = sp_pin_open_program(bpffs, name, &pins);
	is_published = !err;
	if (!err)
		err = detach_everywhere(&pins, groups, &found, say);
	if (err && err != -ENOENT)
		return err;
	slots = sp_pin_open_slots(bpffs, name);
	sp_state_empty_slots(slots);
	/* Without a program it was removed by half: there is nothing to look for. */
	if ((is_staged || is_published) && !found)
		say("%s: its program was attached to no visible group", name);
	return sp_pin_remove(bpffs, name);
}

/* --- telling --- */

static const char *plural(__u32 count)
{
	return count == 1 ? "" : "s";
}

/* "slot 3", "slots 1, 3 and 4", "slots 0, 1, ... (1000 in all)" */
static const char *list_slots(const __u32 *slots, __u32 count, char *buf, size_t size)
{
	size_t len = snprintf(buf, size, "%s", count == 1 ? "slot" : "slots");

	for (__u32 i = 0; i < count && i < LISTED_SLOTS_MAX && len < size; i++)
		len += snprintf(buf + len, size - len, "%s %u",
				i == 0	       ? "" :
				i + 1 == count ? " and" :
						 ",",
				slots[i]);
	if (count > LISTED_SLOTS_MAX && len < size)
		snprintf(buf + len, size - len, ", ... (%u in all)", count);
	return buf;
}

void sp_steered_tell_attached(const char *name, const struct sp_group *group,
			      const struct sp_reconcile_result *result, void (*say)(const char *fmt, ...))
{
	char address[SP_ENDPOINT_STRLEN], left[SP_RENDER_STRLEN];

	say("%s: attached program %u to %u member%s of %s %s", name, result->program_id, result->live,
	    result->live == 1 ? "" : "s", sp_protocol_name(group->protocol),
	    sp_address_format(&group->address, group->ifindex, group->port, address));
	if (result->is_learning)
		say("    existing flows are being learned for %s; %s",
		    sp_render_remaining(result->learn_remaining_ns, left),
		    result->out_of_reach || result->taken ? "those of the members out of reach move" :
							    "none has moved");
	if (result->did_replace && group->protocol == SP_UDP)
		say("    the choices of the program that was attached before are unknown: flows may have moved");
	sp_steered_warn(name, result);
}

bool sp_steered_tell(const char *name, const struct sp_reconcile_result *result,
		     void (*say)(const char *fmt, ...))
{
	char slots[256], left[SP_RENDER_STRLEN];

	if (result->nenrolled)
		say("%s: enrolled %u new member%s in %s", name, result->nenrolled,
		    result->nenrolled == 1 ? "" : "s",
		    list_slots(result->enrolled, result->nenrolled, slots, sizeof(slots)));
	if (result->ndied)
		say("%s: %s died; %s", name, list_slots(result->died, result->ndied, slots, sizeof(slots)),
		    result->live ? "the flows are on the others, a new worker will take the place" :
				   "no worker is left");
	if (result->did_attach)
		say("%s: attached program %u again: the group had been without it", name, result->program_id);
	if (result->did_replace)
		say("    the choices of the program that was attached instead are unknown: UDP flows may have "
		    "moved");
	if (result->did_restart)
		say("%s: what counts its connections was gone: it is there again", name);
	if (result->corrected)
		say("%s: %u connection%s had been counted wrong: the counts are right again", name,
		    result->corrected, plural(result->corrected));
	if (!result->nenrolled && !result->ndied && !result->did_attach && !result->did_replace)
		return result->did_restart || result->corrected;
	if (result->is_learning)
		say("    existing flows are being learned for %s; none has moved",
		    sp_render_remaining(result->learn_remaining_ns, left));
	return true;
}

void sp_steered_warn(const char *name, const struct sp_reconcile_result *result)
{
	if (result->out_of_reach) {
		sp_warn("%u member%s of %s cannot be reached: no traffic goes there", result->out_of_reach,
			plural(result->out_of_reach), name);
		sp_hint("run it as root in the host's pid namespace");
	}
	if (result->taken) {
		sp_warn("%u member%s of %s in another BPF sockarray or sockmap: no traffic goes there",
			result->taken, plural(result->taken), name);
		sp_hint("bpftool map show lists them and who has them open");
	}
	if (result->outside) {
		sp_warn("%u socket%s on the address of %s may take its packets: outside the group",
			result->outside, plural(result->outside), name);
		sp_hint("see whose: steadyport status %s", name);
	}
}
