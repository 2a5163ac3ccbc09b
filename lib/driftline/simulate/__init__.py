"""A shop with known truth: raw deliveries as real systems write them, from customers whose life
follows a process.

    out/access/YYYY-MM-DD.log.gz    Apache combined log, one file a day; the third field is the
                                    customer, or `-`
    out/orders/YYYY-MM-DD.ndjson    one JSON object per order
    out/customers/YYYY-MM.csv       profiles of all who signed up before the month
    out/truth/...                   what the deliveries do not say: see `driftline.simulate.truth`

`shop` holds the options, `process` the customers' latent life, `day` the visits and orders of one
day, `text` their lines, `dirt` how lines break, `deliveries` which file a line goes to, `truth` the
answers, `files` the disk, `run` the order of it all.
"""

from driftline.simulate.files import Written
from driftline.simulate.run import simulate
from driftline.simulate.shop import Shop

__all__ = ["Shop", "Written", "simulate"]
