"""Downloading geo databases from their publishers, as ``bangeod geodb update`` does.

``updater`` does all of it, database by database: what there is and where is in ``releases``, fetched by ``download``,
whose ``answers`` say what a server's refusal means; ``unpack`` takes the file out of the archive and checks it,
``install`` puts it in place.
"""
