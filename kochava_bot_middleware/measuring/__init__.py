"""
From what was handled and sent to records and marks: where tracking's pure rules meet the store.
"""
