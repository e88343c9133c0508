"""`unsee table`: every way to unlearn on the built-in world, asked the same questions, in one table.

`entries` names the rows, `ground` holds what one split gives to all of them, `cell` fits and asks one row, `attacks`
and `cost` are parts of that, `run` goes through all cells and resumes, `summary` makes figures of them, `render` and
`image` show these.
"""
