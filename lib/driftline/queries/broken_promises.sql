-- Which promises were broken lately (in the last 30 days that were judged), and by how much?
SELECT s.kind, s.subject, count(*) AS judged,
  sum(CASE WHEN s.verdict = 'broken' THEN 1 ELSE 0 END) AS broken,
  max(CASE WHEN s.verdict = 'broken' THEN s.at END) AS last_broken,
  round(max(CASE WHEN s.verdict = 'broken' THEN abs(s.value - s.limit) END), 4) AS worst_by,
  s.limit AS promised, s.unit, max_by(s.verdict, s.at) AS newest,
  max_by(s.said, CASE WHEN s.verdict = 'broken' THEN s.at END) AS evidence
FROM ops.sla s
WHERE s.verdict <> 'unknown'
  AND s.at > (SELECT max(n.at) FROM ops.sla n) - INTERVAL 30 DAYS
  AND (s.evidence_table IS NULL OR s.evidence_table <> 'ops.sla') -- a probe that is told again
GROUP BY s.kind, s.subject, s.limit, s.unit
HAVING sum(CASE WHEN s.verdict = 'broken' THEN 1 ELSE 0 END) > 0
ORDER BY broken DESC, last_broken DESC, s.kind, s.subject
