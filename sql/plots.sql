--
-- plots: specifications that Vega-Lite can draw, with the numbers of the functions whose twins they are
--
CREATE TABLE pairs (en text, de text);
INSERT INTO pairs VALUES
    ('the dog sees the cat', 'der hund sieht die katze'),
    ('the cat sees the dog', 'die katze sieht den hund'),
    ('the bird sings', 'der vogel singt'),
    ('good morning', 'guten morgen'),
    ('good night', 'gute nacht');
-- what is wrong with a specification: nothing, if all is well
CREATE FUNCTION faults(s jsonb) RETURNS text[] LANGUAGE sql AS $$
    SELECT array_remove(ARRAY[
        CASE WHEN s->>'$schema' !~ '^https://vega\.github\.io/schema/vega-lite/v\d+\.json$' THEN 'schema' END,
        CASE WHEN jsonb_typeof(s->'title') <> 'string' THEN 'title' END,
        CASE WHEN COALESCE(s->'mark'->>'type', s->>'mark') NOT IN ('line', 'point', 'rect', 'bar') THEN 'mark' END,
        CASE WHEN jsonb_typeof(s#>'{data,values}') <> 'array' OR jsonb_array_length(s#>'{data,values}') = 0 THEN 'data' END,
        CASE WHEN NOT s->'encoding' ?& ARRAY['x', 'y'] THEN 'axes' END] ||
        ARRAY(SELECT format('channel %s', c.key) FROM jsonb_each(s->'encoding') c
               WHERE c.key NOT IN ('x', 'y', 'color', 'shape', 'size', 'column', 'row', 'tooltip', 'strokeDash')
                  OR c.value->>'type' NOT IN ('quantitative', 'nominal', 'ordinal')) ||
        ARRAY(SELECT DISTINCT format('field %s', c.value->>'field')
                FROM jsonb_each(s->'encoding') c, jsonb_array_elements(s#>'{data,values}') v
               WHERE NOT v ? (c.value->>'field')
                  OR (c.value->>'type' = 'quantitative' AND jsonb_typeof(v->(c.value->>'field')) NOT IN ('number', 'null'))), NULL)
$$;
CREATE TABLE plots (name text, specification jsonb);
\set two '\'[{"scheme": "post", "layers": 2, "d_model": 16, "d_ffn": 16, "heads": 2}, {"scheme": "dlcl", "encoder_layers": 1, "decoder_layers": 2, "d_model": 16, "d_ffn": 16, "heads": 2, "label": "learned sums"}]\'::jsonb'
INSERT INTO plots VALUES
    ('layer_gradients', residual_plot_layer_gradients(:two, 'pairs', 'en', 'de')),
    ('probe', residual_plot_probe(:two, 'pairs', 'en', 'de')),
    ('layer_dependency', residual_plot_layer_dependency(:two, 'pairs', 'en', 'de')),
    ('output_change', residual_plot_output_change(:two, 'pairs', 'en', 'de')),
    ('similarity', residual_plot_similarity(:two, 'pairs', 'en', 'de')),
    ('attention_stats', residual_plot_attention_stats(:two, 'pairs', 'en', 'de')),
    ('adam_condition', residual_plot_adam_condition(:two, 'pairs', 'en', 'de')),
    ('adam_curve', residual_plot_adam_curve()),
    ('cost', residual_plot_cost('{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "vocab_size": 50, "repeats": 1}'));
SELECT residual_train('drawn', 'pairs', 'en', 'de', '{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "max_length": 32,
    "threads": 1, "max_steps": 2, "validate_every": 1, "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
INSERT INTO plots VALUES ('training_log', residual_plot_training_log(:job)), ('gradient_stats', residual_plot_gradient_stats(:job));

SELECT name, faults(specification), specification->>'title' AS title, jsonb_array_length(specification#>'{data,values}') > 1 AS several
  FROM plots ORDER BY name;
-- labels of the models; one options object is as good as an array of one
SELECT DISTINCT v->>'model' AS model FROM plots, jsonb_array_elements(specification#>'{data,values}') v WHERE name = 'similarity' ORDER BY 1;
SELECT count(*) FROM jsonb_array_elements(residual_plot_layer_gradients('{"layers": 2, "d_model": 16, "d_ffn": 16, "heads": 2}',
                                                                        'pairs', 'en', 'de')#>'{data,values}');
SELECT DISTINCT v->>'stack' AS stack, v->>'layers' AS layers FROM plots, jsonb_array_elements(specification#>'{data,values}') v
 WHERE name = 'output_change' AND v->>'model' = 'learned sums' ORDER BY 1;
-- the numbers are those of the function
SELECT count(*) FROM (
    SELECT stack, layer, gradient_norm FROM residual_layer_gradients(:two->0, 'pairs', 'en', 'de')
    EXCEPT
    SELECT v->>'stack', (v->>'layer')::integer, (v->>'gradient_norm')::double precision
      FROM plots, jsonb_array_elements(specification#>'{data,values}') v WHERE name = 'layer_gradients') d;

-- errors are those of the function; a job that is not there, or not the user's, has nothing to draw
SELECT residual_plot_similarity('{"scheme": "residul"}', 'pairs', 'en', 'de');
SELECT residual_plot_similarity('[{"label": "a", "layers": 0}]', 'pairs', 'en', 'de');
SELECT residual_plot_similarity('[1]', 'pairs', 'en', 'de');
SELECT residual_plot_training_log(0)->'data' AS nothing;

DROP FUNCTION faults;
DROP TABLE plots, pairs;
SELECT residual_drop_model('drawn');
