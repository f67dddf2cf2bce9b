"""Answer over HTTP what models say of pictures, with what `regraft predict` and `regraft explain` answer through.

The way of a request, always down; what goes wrong on it is one line of plain text, as on the command line:

1. `connections`  a connection has some seconds to say what it wants, and there are so many of them at most;
2. `guard`        host and token are looked at; whatever is answered is counted, and gets its headers;
3. `app`          the address and the parameters choose a model and what is asked of it; `said` is what is answered;
4. `receiving`    the body is read, as far as bytes, pictures and seconds allow, into memory: no name that a client
                  gives is ever a path, and nothing is written to a disk;
5. `batching`     the pictures wait in the queue of their model; whatever waits, of any client, is decoded and run
                  together when the batch before is done, so that one client waits for nobody;
6. `hosted`       the model answers from the bytes as `regraft predict` does from a file, within the decoder's limits;
7. `app`          labels, probabilities and the rule they follow go back as JSON; a heat map as PNG.

`server` opens models and the port, and ends when what is in flight is answered.
"""
