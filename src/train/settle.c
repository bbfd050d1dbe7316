/*
 * settle.c
 *		Steps under way, and what they were like.
 *
 * A device may be given steps before it has done those it has.  It decides by
 * itself what becomes of each (kernels/decide.h) and makes no update after one
 * that must not be made, so all that is left for the host is to ask now and
 * then how it went.
 *
 * src/train/settle.c
 */
#include "train/trainer.h"

#include <string.h>

#include "train/trainer_state.h"

void
rn_trainer_under_way(RnTrainer *trainer, const RnStepResult *result)
{
	RnPendingStep *pending = &trainer->pending[trainer->n_pending++];

	pending->step = result->step;
	pending->learning_rate = result->learning_rate;
	pending->target_tokens = result->target_tokens;
	pending->position = trainer->next;
	trainer->steps = result->step;
}

RnStatus
rn_trainer_diverged(RnContext *ctx, int halted, int64_t step, double learning_rate)
{
	rn_fail(ctx, RN_DIVERGED, "training diverged: the %s of step %lld is not a finite number",
			halted == RN_HALT_LOSS ? "loss" : "gradient", (long long) step);
	rn_detail(ctx, "The learning rate was %g. The weights are those before this step.", learning_rate);
	rn_hint(ctx, "Lower learning_rate, raise warmup_steps, or set clip_norm.");
	return ctx->status;
}

/* The trainer stands before this step, as the weights do. */
static void
go_back(RnTrainer *trainer, const RnPendingStep *pending)
{
	const RnDecision *decision = &trainer->decision;

	trainer->steps = pending->step - 1;
	trainer->next = pending->position;
	rn_trainer_decide_from(trainer, decision->updates, decision->loss_exponent, decision->good_steps);
}

RnStatus
rn_trainer_await(RnContext *ctx, RnTrainer *trainer)
{
	const int	n = trainer->n_pending;
	RnDecision *decision = &trainer->decision;
	int			i;

	if (n == 0)
		return RN_OK;
	RN_TRY(rn_optimizer_decided(ctx, &trainer->optimizer, trainer->workers[0].lane, decision));
	trainer->n_pending = 0;
	if (decision->steps < 1 || decision->steps > n)
		return rn_fail(ctx, RN_INTERNAL, "the device tells of %d steps instead of %d", (int) decision->steps, n);
	if (decision->halted != RN_HALT_NONE)
	{
		const RnPendingStep *pending = &trainer->pending[decision->steps - 1];
		int			halted = decision->halted;

		go_back(trainer, pending);
		return rn_trainer_diverged(ctx, halted, pending->step, pending->learning_rate);
	}
	trainer->told.n += n;
	trainer->told.skipped += decision->skipped;
	trainer->told.loss += decision->loss;
	trainer->told.nll += decision->nll;
	for (i = 0; i < n; i++)
		trainer->told.target_tokens += trainer->pending[i].target_tokens;
	return RN_OK;
}

RnStatus
rn_trainer_settle(RnContext *ctx, RnTrainer *trainer, RnStepResult *result)
{
	RnSteps    *told = &trainer->told;

	RN_TRY(rn_trainer_await(ctx, trainer));
	result->told = told->n;
	if (told->n == 0)
		return RN_OK;
	result->skipped = told->skipped;
	result->told_tokens = told->target_tokens;
	result->loss = told->loss / (double) told->target_tokens;
	result->nll = told->nll / (double) told->target_tokens;
	result->gradient_norm = trainer->decision.norm;
	memset(told, 0, sizeof(*told));
	return RN_OK;
}
