"""The report: tables, the paper's two figures and one HTML page from finished runs.

`python -m flaxart.report --runs='runs/figure1/*' --output=O`. Reads the workdirs of runs
(`runs.py`), groups repetitions of one experiment (`experiments.py`), computes intervals of scores
and differences (`statistics.py`, `compare.py`), and shows them (`figure1.py`, `figure2.py`,
`page.py`).
"""
