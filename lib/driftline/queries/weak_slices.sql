-- For whom is the model in use (or the newest, if none is yet) worse than it is for all?
SELECT s.column AS column_name, s.value, s.rows, s.metric, round(s.score, 3) AS score,
  round(s.low, 3) AS low, round(s.high, 3) AS high, s.worse, s.model_version
FROM ops.slices s
WHERE s.model_version = coalesce(
  -- The champion by the ledger: the highest version may have been refused, or taken back.
  (
    SELECT max_by(r.model_version, r.started_at)
    FROM ops.runs r
    WHERE r.model_version IS NOT NULL AND r.status IN ('done', 'unchanged')
  ),
  (SELECT max(model_version) FROM ops.slices)
)
ORDER BY s.worse DESC, s.score, column_name, s.value
LIMIT 20
