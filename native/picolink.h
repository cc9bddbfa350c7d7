/*
 * picolink: the message engine of docs/protocol.md in C99.
 *
 * One engine is one side of a link. It is sans-IO: it never sleeps, never touches a radio, never reads a
 * clock. Packets, messages and milliseconds go in; packets, messages and decisions come out.
 * py/picolink/pyengine.py is the same engine in Python: for the same calls both give the same bytes.
 *
 * What this header promises:
 *
 * Memory: all of it comes from the caller, once, with picolink_init(): one block of picolink_engine_bytes()
 * bytes, aligned as picolink_engine_t (4 bytes on a 32-bit machine, 8 on a 64-bit one), at one address for as
 * long as the engine lives. There is nothing to free but that block. No function allocates, recurses or keeps
 * a pointer that it was given, except to that block and to the one of keys. At most 500 bytes of stack.
 *
 * Threads: no global state, but for a table that the first picolink_set_key() fills: engines are independent
 * of each other. One engine is for one thread at a time, and no call may interrupt another one on the same
 * engine: an interrupt handler that feeds packets must queue them. The functions that take a const engine
 * only read.
 *
 * Time: no function blocks; each takes time bounded by the rings. `now_ms` is any clock in ms modulo 2^30,
 * for example ticks_ms() on boards. One that goes back a little does no harm.
 *
 * Input: whatever a packet holds, in whatever state: only the engine's own memory is read and written, and
 * the engine goes on. Pointers must be valid for the sizes given with them; they need no alignment.
 *
 * Errors: a value out of its range is answered by false, 0 or an enumerator, as each function says, and
 * nothing has changed. What comes over the air never is an error: it is counted (picolink_stats()), and flags
 * tell.
 *
 * Stability: the protocol's version is PICOLINK_VERSION. Until release 1.0 this interface may change with any
 * release; only the members of picolink_engine_t that are said to be for others are part of it.
 *
 * Sizes are in bytes.
 */
#ifndef PICOLINK_H
#define PICOLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PICOLINK_VERSION 2 /* of the protocol */

#ifndef PICOLINK_KEYS
#define PICOLINK_KEYS 1 /* 0: a smaller engine without picolink_set_key(), aes.c and sha256.c */
#endif

#define PICOLINK_PACKET_MAX     244 /* the largest packet that is taken */
#define PICOLINK_PULL_MAX       236 /* the largest packet that is made: the room that picolink_pull() wants */
#define PICOLINK_LARGEST_MIN    20
#define PICOLINK_RING_MIN       256
#define PICOLINK_RING_MAX       32768
#define PICOLINK_WINDOW_MIN     256
#define PICOLINK_WINDOW_MAX     65535
#define PICOLINK_MTU_MIN        23
#define PICOLINK_KEYED_MTU_MIN  50
#define PICOLINK_MTU_MAX        517
#define PICOLINK_CHANNEL_MAX    15
#define PICOLINK_IDENTITY_BYTES 8
#define PICOLINK_KEY_BYTES      32
#define PICOLINK_SEED_BYTES     32
#define PICOLINK_RANDOM_BYTES   16

/* What a message is, together with its channel: channel | kind << 4. */
enum {
    PICOLINK_BYTES = 0,
    PICOLINK_TEXT = 1,   /* UTF-8 */
    PICOLINK_OBJECT = 2, /* MessagePack */
    PICOLINK_NEWEST = 4, /* with one of them: only the newest value counts on this channel */
};

/* What picolink_feed() and picolink_take_flags() report. */
enum {
    PICOLINK_READABLE = 0x01,       /* a whole message has come */
    PICOLINK_WRITABLE = 0x02,       /* room was freed in the transmit ring */
    PICOLINK_PULL = 0x04,           /* ask picolink_pull() and picolink_wait() again */
    PICOLINK_OPENED = 0x08,         /* the handshake is done */
    PICOLINK_PEER_RESTARTED = 0x10, /* the peer has a new session: unacknowledged messages go to it again */
    PICOLINK_FORGOTTEN = 0x20,   /* the peer knew an earlier session of this side: this side has restarted */
    PICOLINK_TOO_LARGE = 0x40,   /* queued messages that the peer's ring can never hold were removed */
    PICOLINK_REFUSED = 0x80,     /* this side has refused the peer: the reason says why */
    PICOLINK_BROKEN = 0x100,     /* the peer's stream holds something that is not a record */
    PICOLINK_PEER_ENDED = 0x200, /* the peer has closed: nothing comes after what is already here */
    PICOLINK_CONTRADICTED = 0x400, /* the peer has contradicted what is known: both begin new streams */
    PICOLINK_BYE = 0x800,          /* the peer has ended this connection: the reason says why */
};

/* picolink_engine_t.state */
enum {
    PICOLINK_IDLE,     /* never started */
    PICOLINK_GREETING, /* the handshake is under way */
    PICOLINK_OPEN,     /* packets flow */
    PICOLINK_CLOSED, /* this connection is over: pull the BYE if there is one, hang up, start with another */
};

/* picolink_engine_t.reason, of a connection's end; others may come. */
enum {
    PICOLINK_CLOSING = 1,    /* the application has closed the link */
    PICOLINK_PROGRAM_FAILED, /* the program has failed, or was interrupted */
    PICOLINK_PARTNER_KNOWN,  /* it serves another partner */
    PICOLINK_OTHER_VERSION,  /* the peer speaks another version of the protocol */
    PICOLINK_KEY_WANTED,     /* it has a key, and the peer has none */
    PICOLINK_KEY_WRONG,      /* the peer has another key */
    PICOLINK_NONSENSE,       /* the peer's stream makes no sense */
    PICOLINK_PACKETS_SMALL,  /* it has a key, and the ATT MTU is below PICOLINK_KEYED_MTU_MIN */
};

/* What picolink_send() says. */
typedef enum {
    PICOLINK_SEND_QUEUED,
    PICOLINK_SEND_NO_ROOM, /* no room now, nothing was taken: try again after PICOLINK_WRITABLE. After
                              picolink_end(): never more */
    PICOLINK_SEND_NEVER, /* larger than picolink_record_limit(), or no such channel or kind; nothing was taken
                          */
} picolink_send_t;

/* Counters since picolink_init(), in the order of the Python engine; the last two are levels. */
#define PICOLINK_STATS(X)                                                                                    \
    X(messages_sent)                                                                                         \
    X(messages_received)                                                                                     \
    X(messages_acknowledged)                                                                                 \
    X(packets_sent)                                                                                          \
    X(packets_received)                                                                                      \
    X(acks_alone)                                                                                            \
    X(retransmitted)                                                                                         \
    X(timeouts)                                                                                              \
    X(gaps_resent)                                                                                           \
    X(probes)                                                                                                \
    X(gaps)                                                                                                  \
    X(duplicates)                                                                                            \
    X(corrupt)                                                                                               \
    X(malformed)                                                                                             \
    X(stale)                                                                                                 \
    X(early)                                                                                                 \
    X(overruns)                                                                                              \
    X(strangers)                                                                                             \
    X(contradictions)                                                                                        \
    X(dropped) /* always 0: only the Python engine can run out of memory */                                  \
    X(opened)                                                                                                \
    X(peer_restarts)                                                                                         \
    X(resent)                                                                                                \
    X(too_large)                                                                                             \
    X(replayed)     /* packets with a key that came twice or too late */                                     \
    X(unproven)     /* handshakes that did not prove the key */                                              \
    X(rtt_ms)       /* smoothed round trip */                                                                \
    X(flight_limit) /* packets that may be on their way at once, now */

typedef struct {
#define PICOLINK_FIELD(name) uint32_t name;
    PICOLINK_STATS(PICOLINK_FIELD)
#undef PICOLINK_FIELD
} picolink_stats_t;

typedef struct {
    uint8_t *bytes;
    uint32_t mask; /* its size less one: sizes are powers of two */
} picolink_ring_t;

enum { PICOLINK_FLIGHT_MAX = 128 }; /* packets */

/* What a side says of itself in IDENTITY. */
typedef struct {
    uint8_t identity[PICOLINK_IDENTITY_BYTES];
    uint8_t largest; /* packet */
} picolink_self_t;

/* What an engine with a key has besides; nothing of it is for others. It holds the key. */
typedef struct {
    uint32_t handshakes; /* begun, so many randoms were drawn */
    uint32_t sent;       /* packets sealed since the handshake: the next one's counter */
    uint32_t next;       /* the least counter that is taken */
    bool proven;         /* the connection that ended was one with the partner */
    uint8_t key[PICOLINK_KEY_BYTES];
    uint8_t seed[PICOLINK_SEED_BYTES];
    uint8_t random[PICOLINK_RANDOM_BYTES]; /* of this handshake */
    uint8_t heard_random[PICOLINK_RANDOM_BYTES];
    picolink_self_t peer_self; /* of this handshake: what is heard later may be anybody's */
    uint32_t out[44];          /* round keys of this connection's packets */
    uint32_t in[44];
    uint8_t plain[PICOLINK_PACKET_MAX]; /* the stream bytes of the last packet */
} picolink_keys_t;

/*
 * One engine; its rings follow it in memory. Only the first four members are for others to read.
 * Small members that each packet needs stand first, where the instructions of a Cortex-M0+ reach them.
 */
typedef struct {
    uint8_t state;
    bool ended;           /* picolink_peek() has come to the peer's END */
    uint8_t peer_version; /* the protocol version of the peer that was opened with, or refused for it */
    uint8_t reason;       /* of the last BYE sent or heard; 0: none */

    uint8_t due;      /* what comes before data packets */
    uint8_t tag;      /* of this side's handshake */
    uint8_t peer_tag; /* of the peer in force */
    uint8_t room;     /* of a full packet for stream bytes, bytes */
    uint8_t header;   /* bytes before the stream bytes: longer with a key */

    /* Packets in flight. */
    uint8_t flight;     /* how many */
    uint8_t ends_first; /* the oldest in `ends` */
    uint8_t flight_max; /* as many as the window holds */
    uint8_t limit;      /* as many as may be in flight now */
    uint8_t threshold;  /* below it `limit` grows with each packet acknowledged, above with each flight */
    uint8_t grown;      /* acknowledged since `limit` changed, or all was sent again */
    uint8_t since_ask;  /* sent since the last that asks for an acknowledgement */
    uint8_t backoff;    /* timeouts since a round trip was measured, BACKOFF_MAX at most */
    uint8_t probed;     /* probes since credit or a commit came, likewise */
    bool timing;        /* a round trip is being measured: timed_pos, timed_at */

    /* The gap that the peer has reported: una to gap_end. */
    bool gap_known;
    bool filling;    /* it is being sent again; then sending goes on at `high` */
    bool gap_again;  /* it was reported again since */
    uint8_t refills; /* how often it was sent again before */

    /* What the next packet must tell the peer. */
    bool gap; /* bytes from `kept` to `kept_end` have come, those from `rcv` to `kept` have not */
    bool ack_now;
    bool ack_owed;
    uint8_t extra; /* flags for the next data packet */

    uint8_t doubts;    /* packets in a row that said what is impossible, the first one at doubt_at */
    bool peer_commits; /* what the peer has acknowledged counts only when it has committed it */
    bool commits;      /* likewise this side */
    bool commit_now;

    uint16_t flags; /* for picolink_take_flags() */
    uint16_t peer_ring;
    uint16_t peer_options; /* its ring bits and features, as its HELLO has them */

    /* Transmit ring: tail <= una <= nxt <= high <= head, all modulo 2^16. */
    uint16_t tail;    /* first byte of the first message not wholly acknowledged (or committed) */
    uint16_t una;     /* first byte not acknowledged */
    uint16_t nxt;     /* next byte to send */
    uint16_t high;    /* end of what was ever sent */
    uint16_t head;    /* end of what is queued */
    uint16_t tx_base; /* where offset 0 of the stream to this peer stands in the ring */
    uint16_t edge;    /* the peer's credit ends here: una or beyond it */

    /* Receive ring: read <= whole <= rcv, all modulo 2^16. */
    uint16_t read;  /* next byte for the application */
    uint16_t whole; /* end of the last whole record */
    uint16_t rcv;   /* next byte expected */
    uint16_t rx_base;
    uint16_t read_committed; /* this side has committed all before it */

    /* Retransmission timer (RFC 6298 in integers: srtt times 8, variance times 4). */
    uint16_t srtt8;
    uint16_t var4;
    uint16_t rto;
    uint16_t timed_pos;
    uint16_t patience; /* ms from filled_at until the gap is sent once more, the first time */

    uint16_t gap_end;
    uint16_t kept;
    uint16_t kept_end;

    uint16_t need;           /* bytes from `whole` on that decide about the record there */
    uint16_t shown;          /* end of the message that picolink_peek() has shown, or `read` */
    uint16_t edge_sent;      /* end of the credit that the peer was told */
    uint16_t committed;      /* transmit ring: the peer has committed all before it */
    uint16_t committed_sent; /* read_committed, as the peer was told */
    uint16_t window;         /* bytes */

    uint32_t timer_at;
    uint32_t timed_at;
    uint32_t filled_at; /* when the gap was last sent again, or grew smaller; or an OVERRUN was obeyed */
    uint32_t ack_at;

    picolink_keys_t *keys; /* NULL: none */

    uint32_t session;
    uint32_t peer;          /* session in force; 0: none yet */
    uint32_t heard;         /* session last heard from in this handshake */
    uint32_t heard_session; /* of the last IDENTITY on this connection; 0: none yet */
    uint32_t hello_at;

    /* Bound CRCs start with these: of what comes, of what goes out. */
    uint32_t crc_in;
    uint32_t crc_out;

    picolink_ring_t tx;
    picolink_ring_t rx;

    uint32_t answers_at;
    uint32_t doubt_at;
    uint32_t commit_at;

    uint8_t size;    /* bytes of a full packet on this connection */
    uint8_t answers; /* to HELLO, the first one at answers_at */
    uint8_t heard_tag;
    bool renewed; /* a session of the peer came before the one in force */
    bool fresh;   /* this side has renewed its session and not opened since */
    bool broken;  /* renew at the next start */
    bool ending;  /* END is queued */

    uint8_t partner[PICOLINK_IDENTITY_BYTES]; /* all 0: none yet */
    picolink_self_t self;
    picolink_self_t heard_self; /* of the last IDENTITY */

    picolink_stats_t stats;
    uint16_t ends[PICOLINK_FLIGHT_MAX]; /* where each packet in flight ends */
} picolink_engine_t;

/* A message in place: the ring may wrap inside it, then the rest is in `second`. */
typedef struct {
    const uint8_t *first;
    const uint8_t *second;
    uint16_t first_size;
    uint16_t second_size;     /* 0 when it does not wrap */
    uint8_t kind_and_channel; /* channel | kind << 4 */
} picolink_message_t;

/** Whether these can be an identity: PICOLINK_IDENTITY_BYTES bytes that are not all 0. */
bool picolink_is_identity(const uint8_t *bytes, size_t size);

/**
 * The memory that an engine with rings of these sizes takes. 0 when a size is not a power of two from
 * PICOLINK_RING_MIN to PICOLINK_RING_MAX.
 */
size_t picolink_engine_bytes(size_t tx_size, size_t rx_size);

/**
 * Makes an engine of the memory at `engine`: picolink_engine_bytes(tx_size, rx_size) bytes.
 *
 * session: random, 1 to 2^32 - 1: names this side's life, from here to loss of power.
 * identity: PICOLINK_IDENTITY_BYTES bytes that name this board, PC or page in all its sessions.
 * window: bytes that may be on their way in the host stack and the air, PICOLINK_WINDOW_MIN to
 *         PICOLINK_WINDOW_MAX; the flight limit in packets follows from it and from the packet size.
 * commit: what was received counts only when the application has committed it: picolink_commit().
 * Returns false, and touches nothing, when a value is out of its range.
 */
bool picolink_init(picolink_engine_t *engine, uint32_t session, const uint8_t *identity, size_t tx_size,
                   size_t rx_size, size_t window, bool commit);

/**
 * Gives an engine that was never started a key: from now on it serves only those who have the same one.
 *
 * keys: memory for it, zeroed by nobody when the engine is gone: it holds the key.
 * key: PICOLINK_KEY_BYTES bytes, all of them random.
 * seed: PICOLINK_SEED_BYTES bytes that no other session with this key has had.
 */
void picolink_set_key(picolink_engine_t *engine, picolink_keys_t *keys, const uint8_t *key,
                      const uint8_t *seed);

/** The identity whom this side serves, PICOLINK_IDENTITY_BYTES bytes; NULL before it has met anybody. */
const uint8_t *picolink_partner(const picolink_engine_t *engine);

/**
 * Whom this side serves; NULL: whoever a handshake is done with first. It counts from the next handshake on.
 * False, and nothing has changed, when all bytes of `identity` are 0.
 */
bool picolink_set_partner(picolink_engine_t *engine, const uint8_t *identity);

/**
 * Begins a new connection: handshake again, resume the session if the peer still lives.
 * mtu: ATT MTU, PICOLINK_MTU_MIN to PICOLINK_MTU_MAX; beyond them the nearest usable packet size is taken.
 */
void picolink_start(picolink_engine_t *engine, size_t mtu, uint32_t now_ms);

/**
 * Ends this connection for a reason, 1 to 255: the state is CLOSED, and one packet with the reason is due.
 * False, and nothing has changed, when the state is not GREETING or OPEN.
 */
bool picolink_bye(picolink_engine_t *engine, uint32_t reason);

/**
 * Queues one message of `size` bytes. The message is copied. `data` may be NULL when `size` is 0.
 * kind_and_channel: channel | kind << 4, where the channel is 0 to PICOLINK_CHANNEL_MAX.
 * With PICOLINK_NEWEST it overtakes what was not sent yet, and is taken only if it begins in the next packet.
 */
picolink_send_t picolink_send(picolink_engine_t *engine, uint32_t kind_and_channel, const void *data,
                              size_t size);

/** The largest record that can ever be queued now: the message with its 2 to 4 bytes of header. */
size_t picolink_record_limit(const picolink_engine_t *engine);

/** Queues the END record, once: nothing follows it. False when there is no room now. */
bool picolink_end(picolink_engine_t *engine);

/**
 * Shows the next message in place: it stays there, and the next one, until picolink_release().
 * False when there is none.
 */
bool picolink_peek(picolink_engine_t *engine, picolink_message_t *message);

/** Frees the room of the message that picolink_peek() has shown. Nothing happens when it has shown none. */
void picolink_release(picolink_engine_t *engine);

/**
 * All that was read is safe: the peer need not keep it for a restart of this side.
 * False, and nothing has changed, when the engine was made without `commit`.
 */
bool picolink_commit(picolink_engine_t *engine);

/**
 * Makes the next packet for the air in `packet`, which has `capacity` bytes.
 * Returns its length, 0 when there is nothing to say or when `capacity` is below PICOLINK_PULL_MAX.
 */
size_t picolink_pull(picolink_engine_t *engine, uint8_t *packet, size_t capacity, uint32_t now_ms);

/**
 * Takes a packet from the air: `size` bytes, only read during the call. Any content is safe.
 * Returns the flags raised since picolink_take_flags().
 */
uint32_t picolink_feed(picolink_engine_t *engine, const uint8_t *packet, size_t size, uint32_t now_ms);

/** The flags raised since the last call, which clears them. */
uint32_t picolink_take_flags(picolink_engine_t *engine);

/** ms until picolink_pull() has something to say by itself: 0 for now, -1 for nothing in sight. */
int32_t picolink_wait(const picolink_engine_t *engine, uint32_t now_ms);

/** Bytes in the transmit ring that belong to messages not wholly acknowledged (or committed). */
size_t picolink_pending(const picolink_engine_t *engine);

/** How far the peer has acknowledged: a place in the stream, bytes modulo 2^16, that moves on. */
uint16_t picolink_acknowledged(const picolink_engine_t *engine);

/** The counters as they are now; valid as long as the engine, brought up to date by this call only. */
const picolink_stats_t *picolink_stats(picolink_engine_t *engine);

#ifdef __cplusplus
}
#endif

#endif
