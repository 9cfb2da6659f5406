"""Stage `export`: the corrected dataset, in the formats that other tools read; one file per format beside this one."""
