int picolink_engine(int x) { return x + 1; }
