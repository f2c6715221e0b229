"""The page (``scmn-demo``): draw masks on a video, segment it, correct it, take the masks away.

``project`` and what it uses know no user interface; ``page`` is a thin layer of NiceGUI over them.
"""
