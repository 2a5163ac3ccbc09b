-- How good is each model version on rows it never saw, beside the baselines on the same rows?
SELECT e.model_version, e.model, e.metric, round(e.value, 4) AS value, round(e.low, 4) AS low,
  round(e.high, 4) AS high, e.rows, e.detail
FROM ops.evaluations e
WHERE e.part = 'test'
ORDER BY e.model_version DESC, e.metric, e.value DESC, e.model
