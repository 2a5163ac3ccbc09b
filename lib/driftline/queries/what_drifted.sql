-- What drifted between the two versions of each table that were compared last?
SELECT d.table AS table_name, d.from_version, d.to_version, d.slice, d.column AS column_name, d.statistic,
  round(d.value, 3) AS value, d.threshold, d.detail
FROM ops.drift d
JOIN (SELECT n.table AS name, max(n.at) AS at FROM ops.drift n GROUP BY n.table) newest
  ON d.table = newest.name AND d.at = newest.at
WHERE d.drifted
ORDER BY d.table, d.value / d.threshold DESC, d.column, d.statistic, d.slice
