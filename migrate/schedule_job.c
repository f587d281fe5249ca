// SPDX-License-Identifier: Apache-2.0
/* See schedule_job.h. */
#include "migrate/schedule_job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "toolstack/lib/uuid.h"

#define OUTPUT_MAX	((size_t)64 * 1024)
#define PROGRAM		"checkpoint"
/* Added to mono_ns: deadlines of before the host was started are not below 0. */
#define EPOCH_NS	UINT64_C(1000000000000000000)

struct schedule_job {
	pid_t pid;			/* 0: it was reaped */
	int out_fd, err_fd;
	char *out, *err;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* BOOTTIME: a host that slept has missed deadlines. */
static void job_now(void *ctx, struct schedule_now *now)
{
	now->mono_ns = EPOCH_NS + clock_ns(CLOCK_BOOTTIME);
	now->real_ns = (int64_t)clock_ns(CLOCK_REALTIME);
}

void schedule_world_init(struct schedule_world *w, unsigned int job_timeout_s)
{
	ssize_t len = readlink("/proc/self/exe", w->program, sizeof(w->program) - 1);
	char *slash;

	w->program[len > 0 ? len : 0] = '\0';
	slash = strrchr(w->program, '/');
	if (slash && slash + 1 + strlen(PROGRAM) < w->program + sizeof(w->program))
		strcpy(slash + 1, PROGRAM);
	/* The one of the same build first, then whatever PATH has. */
	if (access(w->program, X_OK))
		strcpy(w->program, PROGRAM);
	w->alarm_s = job_timeout_s + 2 * SCHEDULES_GRACE_S;
}

/* --- starting ---------------------------------------------------------------------------- */

struct arguments {
	char uuid[UUID_TEXT_BYTES], keep[16];
	const char *argv[12];
};

static void fill_arguments(struct arguments *a, const struct schedule *s, bool full)
{
	unsigned int n = 0;

	uuid_format(s->spec.uuid, a->uuid);
	snprintf(a->keep, sizeof(a->keep), "%u", s->spec.keep);
	a->argv[n++] = PROGRAM;
	a->argv[n++] = "take";
	a->argv[n++] = "--json";
	a->argv[n++] = "--keep";
	a->argv[n++] = a->keep;
	if (full)
		a->argv[n++] = "--full";
	/* Its one chain would grow for ever. */
	if (!s->spec.full_every)
		a->argv[n++] = "--merge";
	a->argv[n++] = "--";
	a->argv[n++] = a->uuid;
	a->argv[n++] = s->spec.store;
	a->argv[n] = NULL;
}

/* Between fork and exec: only what a child of a threaded process may call. */
static void become_job(const struct schedule_world *w, const struct schedule_job *job,
		       const struct arguments *a)
{
	static const int to_default[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGALRM, SIGCHLD };
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	for (size_t i = 0; i < sizeof(to_default) / sizeof(to_default[0]); i++)
		signal(to_default[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(job->out_fd, STDOUT_FILENO) < 0 ||
	    dup2(job->err_fd, STDERR_FILENO) < 0)
		_exit(126);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	/* Ctrl-C in the daemon's terminal is for the daemon, which then asks us. */
	setpgid(0, 0);
	alarm(w->alarm_s);
	execvp(w->program, (char *const *)a->argv);
	_exit(127);
}

static void job_release(void *ctx, struct schedule_job *job)
{
	if (job->out_fd >= 0)
		close(job->out_fd);
	if (job->err_fd >= 0)
		close(job->err_fd);
	free(job->out);
	free(job->err);
	free(job);
}

static int job_start(void *ctx, const struct schedule *s, bool full, struct schedule_job **out)
{
	struct schedule_job *job = calloc(1, sizeof(*job));
	struct arguments a;
	int ret = 0;

	if (!job)
		return -ENOMEM;
	fill_arguments(&a, s, full);
	/* 3 and up, whatever of 0..2 is closed: dup2() onto itself would keep close-on-exec. */
	job->out_fd = memfd_create("checkpoint-out", MFD_CLOEXEC);
	job->err_fd = memfd_create("checkpoint-err", MFD_CLOEXEC);
	if (job->out_fd <= STDERR_FILENO || job->err_fd <= STDERR_FILENO)
		ret = job->out_fd < 0 || job->err_fd < 0 ? -errno : -EBADF;
	if (!ret) {
		job->pid = fork();
		if (!job->pid)
			become_job(ctx, job, &a);
		ret = job->pid < 0 ? -errno : 0;
	}
	if (ret) {
		job_release(ctx, job);
		return ret;
	}
	*out = job;
	return 0;
}

/* --- its end --------------------------------------------------------------------------------- */

/* Its end rather than its beginning where it is too long: the last line is the reason. */
static char *read_output(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END), from = 0;
	char *text = malloc(OUTPUT_MAX + 1);
	ssize_t n;

	if (!text)
		return NULL;
	if (size > (off_t)OUTPUT_MAX)
		from = size - (off_t)OUTPUT_MAX;
	n = pread(fd, text, OUTPUT_MAX, from);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static bool job_poll(void *ctx, struct schedule_job *job, struct schedule_result *r)
{
	int status = 0;
	pid_t pid = waitpid(job->pid, &status, WNOHANG);

	if (!pid || (pid < 0 && errno == EINTR))
		return false;
	job->pid = 0;
	job->out = read_output(job->out_fd);
	job->err = read_output(job->err_fd);
	r->out = job->out ? job->out : "";
	r->err = job->err ? job->err : "";
	r->exit_code = pid < 0 ? 1 : WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

static void job_kill(void *ctx, struct schedule_job *job, int sig)
{
	if (job->pid > 0)
		kill(job->pid, sig);
}

const struct schedules_ops schedule_job_ops = {
	.now = job_now, .start = job_start, .poll = job_poll, .kill = job_kill,
	.release = job_release,
};
