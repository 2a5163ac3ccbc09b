-- Did predictions come true: what their scores promised beside what labels said later?
SELECT p.cutoff, p.model_version, p.metric,
  round(max(CASE WHEN p.kind = 'expected' THEN p.value END), 3) AS promised,
  round(max(CASE WHEN p.kind = 'real' THEN p.value END), 3) AS came_true,
  max(p.rows) AS predictions, max(p.labelled) AS labelled
FROM ops.performance p
JOIN (
  SELECT n.cutoff, n.model_version, max(n.at) AS at
  FROM ops.performance n GROUP BY n.cutoff, n.model_version
) newest ON p.cutoff = newest.cutoff AND p.model_version = newest.model_version
  AND p.at = newest.at
WHERE p.slice = ''
GROUP BY p.cutoff, p.model_version, p.metric
ORDER BY p.cutoff DESC, p.model_version, p.metric
LIMIT 100
