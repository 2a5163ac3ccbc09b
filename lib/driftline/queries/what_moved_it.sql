-- Which commit, delivery, file or value moved the columns that drifted last?
SELECT c.table AS table_name, c.slice, c.column AS column_name, c.statistic, c.kind, c.name,
  round(c.share, 3) AS share, c.rows
FROM ops.causes c
JOIN (SELECT n.table AS name, max(n.at) AS at FROM ops.causes n GROUP BY n.table) newest
  ON c.table = newest.name AND c.at = newest.at
WHERE c.share > 0
ORDER BY c.table, c.column, c.kind, c.share DESC, c.name
LIMIT 50
