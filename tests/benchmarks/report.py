"""stub"""
def print_report(run):
    for (w,c), v in run.results.samples.items():
        print(w, c, [(round(x.rate), round(x.server,2), round(x.generator,2)) for x in v])
    for k, v in run.results.starts.items(): print(k, [round(x*1000) for x in v])
def write_report(*a): pass
