"""Where bytes lie: the S3, the upload addresses and the asset host."""
