--
-- training: from a table to a model in service
--
CREATE TABLE pairs (id int PRIMARY KEY, en text, de text);
INSERT INTO pairs
SELECT i, format('%s %s %s %s', (ARRAY['one','two','three','four'])[1 + i % 4], (ARRAY['red','blue','green'])[1 + i % 3],
              (ARRAY['dogs','cats','birds','fish','cows'])[1 + i % 5], (ARRAY['swim','run'])[1 + i % 2]),
       format('%s %s %s %s', (ARRAY['ein','zwei','drei','vier'])[1 + i % 4], (ARRAY['rote','blaue','grüne'])[1 + i % 3],
              (ARRAY['hunde','katzen','vögel','fische','kühe'])[1 + i % 5], (ARRAY['schwimmen','laufen'])[1 + i % 2])
  FROM generate_series(0, 59) i;
-- what cannot be used is skipped and counted
INSERT INTO pairs VALUES (100, NULL, 'x'), (101, 'x', NULL), (102, '', 'x'), (103, 'x', ''), (104, '   ', 'x'), (105, NULL, NULL),
    (106, repeat('one two ', 500), 'x'), (107, 'x', repeat('ein zwei ', 500));

SELECT residual_train('animals', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0, "label_smoothing": 0,
      "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 600, "validation": "0.1",
      "validate_every": 200, "checkpoint_every": 50, "stats_every": 300, "metric": "bleu", "seed": 3, "patience": 0}') AS job \gset
SELECT residual_wait(:job);
SELECT model, version, state, phase, corpus, source, target, attempts, pairs + held_out AS pairs, held_out > 0 AS held_out,
       rows_empty, rows_long, reason, checkpoint_step, sqlstate, error, note
  FROM residual_jobs WHERE job = :job;
SELECT started >= submitted AND finished >= started AS in_order, owner = current_user::regrole AS mine FROM residual_jobs WHERE job = :job;

-- the effective options: what was given, and the default of all else
SELECT key, value FROM residual_jobs, jsonb_each(options)
 WHERE job = :job AND key IN ('encoder_layers', 'decoder_layers', 'd_model', 'validation', 'seed', 'metric', 'max_epochs', 'beta1', 'scheme', 'lowercase')
 ORDER BY key;

-- the log
SELECT step, epoch > 0 AS epoch, loss > 0 AS loss, learning_rate > 0 AS rate, validation_loss > 0 AS validation_loss,
       validation_bleu BETWEEN 0 AND 100.001 AS bleu, validation_pairs = bleu_sentences AS whole, seconds > 0 AS seconds
  FROM residual_training_log WHERE job = :job ORDER BY step;
SELECT last.loss < first.loss AS it_learns
  FROM residual_training_log first, residual_training_log last
 WHERE first.job = :job AND last.job = :job AND first.step = 200 AND last.step = 600;
SELECT state, step, total_steps, phase FROM residual_progress WHERE job = :job;

-- statistics: one row a tensor, relative to the largest of the step
SELECT step, count(*) > 20 AS tensors, max(relative_gradient_norm) AS largest, bool_and(gradient_norm >= 0) AS norms,
       bool_and(update_norm > 0) AS updated
  FROM residual_gradient_stats WHERE job = :job GROUP BY step ORDER BY step;
SELECT stack, count(DISTINCT layer) AS layers FROM residual_gradient_stats WHERE job = :job AND step = 0 AND layer IS NOT NULL
 GROUP BY stack ORDER BY stack;

-- the model
SELECT model, version, encoder_scheme, encoder_layers, d_model, bytes = 4 * parameters AS float32, validation_bleu > 50 AS good
  FROM residual_models WHERE model = 'animals';
SELECT count(*) FROM residual.checkpoint WHERE job = :job;
SELECT count(*) > 20 AS tensors, sum(octet_length(bytes)) > 4096 AS bytes
  FROM residual.weight w JOIN residual.model m ON m.id = w.model WHERE m.name = 'animals';

-- going on from its weights: the model's own options hold
SELECT residual_train('animals', 'pairs', 'en', 'de',
    '{"from": "active", "max_steps": 20, "validation": "0", "threads": 1, "batch_tokens": 256, "warmup_steps": 1, "learning_rate": 0.001,
      "dropout": 0, "label_smoothing": 0}') AS job \gset
SELECT residual_wait(:job);
SELECT version, options->>'from' AS "from", options->'d_model' AS d_model, options->'max_length' AS max_length, rows_long FROM residual_jobs WHERE job = :job;
SELECT version, active, step FROM residual_versions WHERE model = 'animals' ORDER BY version;
-- ... which is why it begins where the other one stopped
SELECT (SELECT loss FROM residual_training_log WHERE job = :job ORDER BY step LIMIT 1) <
       (SELECT loss FROM residual_training_log t JOIN residual_jobs j USING (job) WHERE j.model = 'animals' AND j.version = 1 AND step = 200) AS warm;

-- a view, another scheme
CREATE VIEW upper_pairs AS SELECT upper(en) AS en, upper(de) AS de FROM pairs WHERE id < 50;
SELECT residual_train('upper', 'upper_pairs', 'en', 'de',
    '{"scheme": "pre", "encoder_layers": 2, "decoder_layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "max_length": 32, "threads": 2,
      "batch_tokens": 64, "accumulate": 2, "max_epochs": 2, "validation": "pairs", "tokenizer": "bpe", "vocab_size": 40, "lowercase": true,
      "average_checkpoints": 2, "schedule": "constant"}') AS job \gset
SELECT residual_wait(:job);
SELECT state, pairs, held_out, reason, error FROM residual_jobs WHERE job = :job;
SELECT encoder_scheme, decoder_scheme, encoder_layers, decoder_layers, validation_loss IS NOT NULL AS validated FROM residual_models WHERE model = 'upper';
SELECT configuration->'vocab_size' AS vocab_size, configuration->'lowercase' AS lowercase FROM residual_versions WHERE model = 'upper';

SELECT residual_drop_model('animals'), residual_drop_model('upper');
DROP VIEW upper_pairs;
DROP TABLE pairs;
