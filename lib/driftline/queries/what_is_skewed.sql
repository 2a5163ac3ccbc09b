-- Which features of the rows asked about last are not as in the rows that trained the model?
SELECT s.table AS table_name, s.cutoff, s.model_version, s.column AS feature, s.statistic,
  round(s.value, 3) AS value, s.threshold, s.detail
FROM (
  SELECT n.*, rank() OVER (
    PARTITION BY n.table
    -- A day made up for is looked at late, and is a past one; one mistyped, far ahead, hides none.
    ORDER BY n.as_of <= n.at + INTERVAL '1' DAY DESC, n.as_of DESC, n.at DESC
  ) AS place
  FROM ops.skew n
) s
WHERE s.place = 1 AND s.skewed
ORDER BY s.table, s.statistic IN ('missing', 'type') DESC, s.value / s.threshold DESC, s.column, s.statistic
