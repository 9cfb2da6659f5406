"""The functions of `import secondlook as sl`, one file each; the commands are thin layers over the same code."""
