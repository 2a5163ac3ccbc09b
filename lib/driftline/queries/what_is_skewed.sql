-- Which features of the rows asked about last are not as in the rows that trained the model?
SELECT s.table AS table_name, s.cutoff, s.model_version, s.column AS feature, s.statistic,
  round(s.value, 3) AS value, s.threshold, s.detail
FROM ops.skew s
JOIN (SELECT n.table AS name, max(n.at) AS at FROM ops.skew n GROUP BY n.table) newest
  ON s.table = newest.name AND s.at = newest.at
WHERE s.skewed
ORDER BY s.table, s.statistic IN ('missing', 'type') DESC, s.value / s.threshold DESC, s.column, s.statistic
