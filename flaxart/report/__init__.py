"""The report: tables, the paper's two figures and one HTML page from finished runs.

`python -m flaxart.report --runs='runs/figure1/*' --output=O`. Reads what runs left in their
workdirs (`runs.py`), puts repetitions of one experiment together (`experiments.py`), says how sure
a score and a difference are (`statistics.py`, `compare.py`), and shows it (`figure1.py`,
`figure2.py`, `page.py`).
"""
