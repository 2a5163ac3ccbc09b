-- What did each stage cost, month by month, and what part of it was in vain?
SELECT date_trunc('month', r.started_at) AS month, r.stage, count(*) AS runs,
  round(sum(r.wall_seconds), 1) AS seconds, round(sum(r.money), 5) AS money,
  round(sum(CASE WHEN r.status IN ('failed', 'killed') THEN r.money ELSE 0 END), 5) AS in_vain, r.currency
FROM ops.runs r
GROUP BY date_trunc('month', r.started_at), r.stage, r.currency
ORDER BY month DESC, money DESC, r.stage
