-- For whom is the newest model worse than it is for all?
SELECT s.column AS column_name, s.value, s.rows, s.metric, round(s.score, 3) AS score,
  round(s.low, 3) AS low, round(s.high, 3) AS high, s.worse
FROM ops.slices s
WHERE s.model_version = (SELECT max(model_version) FROM ops.slices)
ORDER BY s.worse DESC, s.score, column_name, s.value
LIMIT 20
