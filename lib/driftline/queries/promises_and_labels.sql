-- Did predictions come true: what their scores promised beside what labels said later?
SELECT p.cutoff, p.model_version, p.metric,
  round(max(CASE WHEN p.kind = 'expected' THEN p.value END), 3) AS promised,
  round(max(CASE WHEN p.kind = 'real' THEN p.value END), 3) AS came_true,
  max(p.rows) AS predictions, max(p.labelled) AS labelled
FROM (
  SELECT n.*, rank() OVER (
    PARTITION BY n.cutoff, n.model_version
    -- A day made up for is measured late, and knows less; one mistyped, far ahead, hides no other.
    ORDER BY n.as_of <= n.at + INTERVAL '1' DAY DESC, n.as_of DESC, n.at DESC
  ) AS place
  FROM ops.performance n
) p
WHERE p.place = 1 AND p.slice = ''
GROUP BY p.cutoff, p.model_version, p.metric
ORDER BY p.cutoff DESC, p.model_version, p.metric
LIMIT 100
