/* stream.h - the published statistics: each second what has changed, and the whole of it now and then.
 *
 * A frame is {"version", "seq", "full": document} or {"version", "seq", "patch": merge patch (RFC 7386)}: applied to
 * the document of seq - 1 it gives that of seq.  A field that is null in the document is absent after a patch.
 */
#ifndef NM_BROKER_STREAM_H
#define NM_BROKER_STREAM_H

#include <jansson.h>
#include <stdint.h>

enum { NM_STREAM_FULL_EVERY = 60 };

struct nm_stream {
    uint64_t seq; /* of the last frame; 0: there was none */
    json_t *last; /* its document */
};

/* nm_stream_next - the frame of the next document, which is taken over.  NULL: out of memory, nothing has changed. */
json_t *nm_stream_next(struct nm_stream *stream, json_t *document, int version);

/* nm_stream_last - the last document as a full frame, to begin with. */
json_t *nm_stream_last(const struct nm_stream *stream, int version);
void nm_stream_clean_up(struct nm_stream *stream);

#endif
