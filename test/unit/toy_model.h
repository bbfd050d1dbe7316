/*
 * toy_model.h
 *		A small model with random weights and a tokenizer, for tests of what
 *		stands around a model.
 *
 * test/unit/toy_model.h
 */
#ifndef RN_TOY_MODEL_H
#define RN_TOY_MODEL_H

#include "kernels/device.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

typedef struct ToyModel
{
	RnConfig	config;
	RnModel    *model;
	rn_real    *values;			/* flat */
	char	   *tokenizer_bytes;
	size_t		tokenizer_size;
	RnTokenizer *tokenizer;
} ToyModel;

/*
 * layers of width d_model, sides of at most max_length pieces; the same seed
 * gives the same model.  Prints a failed check and gives 0 when it cannot.
 */
extern int	toy_model_create(ToyModel *toy, int layers, int d_model, int max_length, uint64_t seed);
extern void toy_model_free(ToyModel *toy);

/* Sentence number i of a made-up language, of about n_words words; into buffer. */
extern void toy_sentence(uint64_t i, int n_words, char *buffer, size_t size);

#endif							/* RN_TOY_MODEL_H */
