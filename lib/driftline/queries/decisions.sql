-- Why was the model kept, watched or trained again, and was that right?
SELECT d.as_of, d.model_version, d.action, d.causes, d.why, round(d.expected, 3) AS expected,
  round(d.real, 3) AS came_true, d.gain, d.cost, d.currency, o.kind, o.verdict
FROM ops.decisions d
LEFT JOIN ops.outcomes o ON d.decision = o.decision
ORDER BY d.as_of DESC, d.decision, o.kind
LIMIT 50
