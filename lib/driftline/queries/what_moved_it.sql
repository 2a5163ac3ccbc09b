-- Which commit, delivery, file or value moved the columns that drifted in the newest comparisons?
SELECT c.table AS table_name, c.slice, c.column AS column_name, c.statistic, c.kind, c.name,
  round(c.share, 3) AS share, c.rows
FROM ops.causes c
JOIN (
  SELECT d.table AS name, d.comparison
  FROM ops.drift d
  JOIN (SELECT n.table AS name, max(n.at) AS at FROM ops.drift n GROUP BY n.table) last
    ON d.table = last.name AND d.at = last.at
  GROUP BY d.table, d.comparison
) newest
  ON c.table = newest.name AND c.comparison = newest.comparison
WHERE c.share > 0
ORDER BY c.table, c.column, c.kind, c.share DESC, c.name
LIMIT 50
