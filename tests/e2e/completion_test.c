// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Completion by bash and zsh: it offers every command, option and value that there is, and what is steered. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cleanup.h"
#include "commands.h"
#include "option_table.h"
#include "run.h"

#define WORKERS 4
#define OFFERS_MAX 64

struct shell {
	const char *name, *program, *option, *script, *completion;
};

static const struct shell shells[] = {
	{ "bash", "bash", "--norc", "bash.sh", SP_PACKAGING "/completion/steadyport.bash" },
	{ "zsh", "zsh", "-f", "zsh.zsh", SP_PACKAGING "/completion" },
};

static struct sp_crew tcp, udp;
static char dump[] = "/tmp/sp-completion-XXXXXX/zcompdump";

/* What the shell offers for these words of steadyport's, the last of which is being typed; between newlines. */
static const char *offers(const struct shell *shell, const char *words)
{
	static char text[1 << 16];
	char line[PATH_MAX + 256], script[PATH_MAX];

	snprintf(line, sizeof(line), "%s %s", sp_run_binary(), words);
	snprintf(script, sizeof(script), SP_PACKAGING "/../tests/e2e/completion/%s", shell->script);
	snprintf(text, sizeof(text), "\n%s",
		 sp_run_other(shell->program, shell->option, script, shell->completion, line, dump)->out);
	return text;
}

static void expect(const struct shell *shell, const char *words, const char *offered, const char *text)
{
	char line[256];

	snprintf(line, sizeof(line), "\n%s\n", text);
	if (!strstr(offered, line))
		fail_msg("%s: `steadyport %s` is not offered %s, but:%s", shell->name, words, text, offered);
}

static size_t count(const char *offered)
{
	size_t lines = 0;

	for (const char *c = offered; *c; c++)
		lines += *c == '\n';
	return lines - 1;
}

/* No less and no more than these. */
static void expect_exactly(const struct shell *shell, const char *words, const char *const *texts,
			   size_t ntexts)
{
	const char *offered = offers(shell, words);

	for (size_t i = 0; i < ntexts; i++)
		expect(shell, words, offered, texts[i]);
	if (count(offered) != ntexts)
		fail_msg("%s: `steadyport %s` is offered %zu words and not %zu:%s", shell->name, words,
			 count(offered), ntexts, offered);
}

static void check_commands(const struct shell *shell)
{
	const char *names[OFFERS_MAX];

	for (size_t i = 0; i < sp_ncommands; i++)
		names[i] = sp_commands[i].name;
	expect_exactly(shell, "", names, sp_ncommands);
	expect_exactly(shell, "help ", names, sp_ncommands);
	expect_exactly(shell, "dem", (const char *const[]){ "demo" }, 1);
}

static void check_values(const struct shell *shell, const struct sp_command *command,
			 const struct sp_option *option)
{
	const char *values[OFFERS_MAX];
	char words[128], copy[128];
	size_t nvalues = 0;

	snprintf(copy, sizeof(copy), "%s", option->metavar);
	for (char *value = strtok(copy, "|"); value; value = strtok(NULL, "|"))
		values[nvalues++] = value;
	snprintf(words, sizeof(words), "%s --%s ", command->name, option->name);
	expect_exactly(shell, words, values, nvalues);
}

static void check_options(const struct shell *shell)
{
	for (size_t i = 0; i < sp_ncommands; i++) {
		const struct sp_command *command = &sp_commands[i];
		__u64 options = command->options | GLOBAL_OPTIONS;
		char text[OPT_COUNT][64], words[128];
		const char *texts[OPT_COUNT];
		size_t n = 0;

		if (!command->run)
			continue;
		snprintf(words, sizeof(words), "%s --", command->name);
		for (int o = 0; o < OPT_COUNT; o++) {
			const struct sp_option *option = &sp_option_table[o];

			if (!(options & (__u64)BIT(o)))
				continue;
			snprintf(text[n], sizeof(text[n]), "--%s", option->name);
			texts[n] = text[n];
			n++;
			if (option->metavar && option->metavar[0] >= 'a')
				check_values(shell, command, option);
		}
		expect_exactly(shell, words, texts, n);
	}
}

/* Each command that takes NAME first offers the groups that are steered; each that takes slots those of the group. */
static void check_groups(const struct shell *shell)
{
	static const char *const groups[] = { "dns", "web" };
	static const char *const slots[] = { "0", "1", "2", "3" };
	char words[128];

	for (size_t i = 0; i < sp_ncommands; i++) {
		const struct sp_command *command = &sp_commands[i];

		if (strncmp(command->synopsis, "NAME", 4))
			continue;
		snprintf(words, sizeof(words), "%s ", command->name);
		expect_exactly(shell, words, groups, SP_ARRAY_SIZE(groups));
		if (!strncmp(command->synopsis, "NAME SLOT...", 12)) {
			snprintf(words, sizeof(words), "%s web ", command->name);
			expect_exactly(shell, words, slots, SP_ARRAY_SIZE(slots));
			snprintf(words, sizeof(words), "%s -v --bpffs /sys/fs/bpf web 1 ", command->name);
			expect_exactly(shell, words, slots, SP_ARRAY_SIZE(slots));
		}
	}
	expect_exactly(shell, "flows dns --slot ", slots, SP_ARRAY_SIZE(slots));
	snprintf(words, sizeof(words), "attach other ");
	expect(shell, words, offers(shell, words), tcp.endpoint);
	snprintf(words, sizeof(words), "attach other udp:12");
	expect(shell, words, offers(shell, words), udp.endpoint);
	expect_exactly(shell, "list web ", NULL, 0);
}

static void check(const struct shell *shell)
{
	sp_run_need(shell->program);
	sp_crew_start(&tcp, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crew_start(&udp, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", "web", tcp.endpoint);
	sp_run("attach", "dns", udp.endpoint);
	check_commands(shell);
	check_options(shell);
	check_groups(shell);
}

static void completion__bash__offers_what_there_is(void **state)
{
	(void)state;
	check(&shells[0]);
}

static void completion__zsh__offers_what_there_is(void **state)
{
	(void)state;
	check(&shells[1]);
}

static int make_scratch(void **state)
{
	char *slash = strrchr(dump, '/');

	(void)state;
	*slash = '\0';
	assert_non_null(mkdtemp(dump));
	*slash = '/';
	return 0;
}

static int remove_scratch(void **state)
{
	(void)state;
	unlink(dump);
	*strrchr(dump, '/') = '\0';
	return rmdir(dump);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(completion__bash__offers_what_there_is, sp_run_teardown),
		cmocka_unit_test_teardown(completion__zsh__offers_what_there_is, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
