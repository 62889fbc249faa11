// The C ABI between the Segue server (the *host*) and a backend plugin (a shared library).
//
// A plugin exports one static, `SeguePlugin`, under the symbol `segue_plugin_v1`. The host reads it from the
// file before the library is opened, so that a plugin of another ABI is refused without running its code.
// Rust plugins never write any of this by hand: `segue-plugin` does, from the trait `Backend`.
//
// # Rules that hold everywhere
//
// - **Ownership.** The host owns every buffer. A pointer handed over in a call is borrowed until that call
//   returns, unless its field says otherwise. Nothing allocated on one side is ever freed on the other.
// - **Threading.** An instance is called from one thread at a time, not always the same one, unless
//   `SegueBackendInfo.max_concurrency` says more. Different instances are called from different threads at once.
//   Every function of `SegueHost` may be called from any thread, from the first `create` on for as long as the library
//   is open.
// - **Unwinding.** No panic and no C++ exception may cross a function of this ABI: catch it and return
//   `SEGUE_STATUS_PANICKED`.
// - **Growth.** Structs only ever grow at their end. The side that fills a struct writes its `struct_size`;
//   the side that reads one must not look beyond that size. A plugin works with every host of the same
//   `SEGUE_ABI_MAJOR` whose minor number is at least the plugin's.
// - **Text** is UTF-8, by pointer and length, with no terminating zero, except for the fixed arrays of
//   `SeguePlugin`, which are padded with zeros.

#ifndef SEGUE_H
#define SEGUE_H

// `cargo xtask header` writes this file from plugins/abi/src/lib.rs: edit that.

#include <stddef.h>
#include <stdint.h>

// `"SEGUEPLG"` as a little-endian number: the first eight bytes of every descriptor.
#define SEGUE_MAGIC 5137569533636592979

// A host refuses a plugin of another major number.
#define SEGUE_ABI_MAJOR 1

// A host refuses a plugin of a higher minor number.
#define SEGUE_ABI_MINOR 2

// No panic and no exception leaves a function of the plugin. A host refuses a plugin without it, such as one in Rust
// with `panic = "abort"`; one in C has nothing to catch, and sets it.
#define SEGUE_PLUGIN_PANIC_UNWIND (1 << 0)

// The plugin has no threads and no thread-local state left once its last instance is destroyed.
#define SEGUE_PLUGIN_UNLOADABLE (1 << 1)

// Since 1.2. The plugin calls other machines: its processes may use the network, which is refused to all others.
#define SEGUE_PLUGIN_NETWORK (1 << 2)

// The call did what it was asked to do.
#define SEGUE_STATUS_OK 0

// The call failed; the reason is in its `SegueTextBuffer`. The instance stays usable.
#define SEGUE_STATUS_FAILED 1

// The call stopped early because `SegueHost.cancelled` said so.
#define SEGUE_STATUS_CANCELLED 2

// The plugin panicked and caught it; the message is in the `SegueTextBuffer`. The host destroys the instance.
#define SEGUE_STATUS_PANICKED 3

// Pixels of three bytes: red, green, blue.
#define SEGUE_FORMAT_RGB8 1

// Levels of `SegueHost.log`, the most urgent first.
#define SEGUE_LOG_ERROR 1

// See `SEGUE_LOG_ERROR`.
#define SEGUE_LOG_WARN 2

// See `SEGUE_LOG_ERROR`.
#define SEGUE_LOG_INFO 3

// See `SEGUE_LOG_ERROR`.
#define SEGUE_LOG_DEBUG 4

// See `SEGUE_LOG_ERROR`.
#define SEGUE_LOG_TRACE 5

// Stages of `SegueHost.stage`: from the frame's pixels to the network's input.
#define SEGUE_STAGE_PREPROCESS 0

// See `SEGUE_STAGE_PREPROCESS`: the network itself.
#define SEGUE_STAGE_FORWARD 1

// See `SEGUE_STAGE_PREPROCESS`: from the network's scores to the mask.
#define SEGUE_STAGE_POSTPROCESS 2

// How many stages there are.
#define SEGUE_STAGES 3

// A borrowed text.
typedef struct SegueText {
    // First byte; may be null when `len_bytes` is 0.
    const uint8_t *data;
    // Length in bytes.
    size_t len_bytes;
} SegueText;

// What a plugin may call. Lives as long as the library is open.
typedef struct SegueHost {
    // Size of this struct as the host knows it.
    uint32_t struct_size;
    // The host's `SEGUE_ABI_MINOR`.
    uint32_t abi_minor;
    // Handed back as the first argument of every function below.
    void *context;
    // Nanoseconds of the host's monotonic clock, the one that `SegueHost.stage` expects.
    uint64_t (*now_nanos)(void *context);
    // Writes one line to the host's log. `target` names the part of the plugin that speaks.
    void (*log)(void *context, uint32_t level, struct SegueText target, struct SegueText message);
    // Reports that a stage of the frame `token` ran from `start_nanos` to `end_nanos`. Unknown tokens and
    // stages are ignored; of a stage reported twice the times are added.
    void (*stage)(void *context, uint64_t token, uint32_t stage, uint64_t start_nanos, uint64_t end_nanos);
    // 1 when nobody waits for the frame `token` any more: return `SEGUE_STATUS_CANCELLED` soon. Else 0.
    uint32_t (*cancelled)(void *context, uint64_t token);
} SegueHost;

// A colour of a palette.
typedef struct SegueRgb {
    // Red, 0 to 255.
    uint8_t red;
    // Green, 0 to 255.
    uint8_t green;
    // Blue, 0 to 255.
    uint8_t blue;
} SegueRgb;

// The model that an instance is created for: one file of the catalog, with the mode's settings.
typedef struct SegueModel {
    // Size of this struct as the host knows it.
    uint32_t struct_size;
    // How many threads the instance may keep busy, itself included; at least 1.
    uint32_t max_threads;
    // Name in the catalog.
    struct SegueText name;
    // Path of the weights file, which the host has checked against its SHA-256; empty when there is none.
    struct SegueText weights;
    // Labels by class id, `classes` of them; null when the catalog gives none.
    const struct SegueText *labels;
    // Colours by class id, `classes` of them; null when the catalog gives none.
    const struct SegueRgb *palette;
    // Number of labels and colours.
    uint32_t classes;
    // Keeps what follows aligned; 0.
    uint32_t reserved;
    // The model's and the mode's settings: one JSON object.
    struct SegueText settings;
} SegueModel;

// A buffer of the host's into which a plugin writes a text: the reason of a failure, most often.
typedef struct SegueTextBuffer {
    // First byte of the buffer.
    uint8_t *data;
    // How many bytes fit; a longer text is cut.
    size_t capacity_bytes;
    // How many bytes the plugin wrote. The host sets it to 0 before the call.
    size_t len_bytes;
} SegueTextBuffer;

// What an instance says of itself. Its pointers belong to the instance and live until `destroy`.
typedef struct SegueBackendInfo {
    // Size of this struct as the host knows it; the plugin writes no more than that.
    uint32_t struct_size;
    // Width of the network's input, in pixels; 0 when any will do.
    uint32_t input_width_px;
    // Height of the network's input, in pixels; 0 when any will do.
    uint32_t input_height_px;
    // Number of classes, 1 to 256.
    uint32_t classes;
    // Labels by class id.
    const struct SegueText *labels;
    // Colours by class id.
    const struct SegueRgb *palette;
    // How many frames one call takes; 1 in this version.
    uint32_t max_batch;
    // How many calls of one instance may run at once.
    uint32_t max_concurrency;
    // Memory that the instance holds, in bytes, as well as it knows; 0 when it doesn't.
    uint64_t memory_bytes;
    // 1 when the instance can fill the confidence plane.
    uint32_t has_confidence;
    // Keeps the size a multiple of 8; 0.
    uint32_t reserved;
} SegueBackendInfo;

// One decoded frame.
typedef struct SegueFrame {
    // Size of this struct as the host knows it.
    uint32_t struct_size;
    // `SEGUE_FORMAT_RGB8`.
    uint32_t format;
    // Width in pixels, at least 1.
    uint32_t width_px;
    // Height in pixels, at least 1.
    uint32_t height_px;
    // From one row's first byte to the next one's.
    uint32_t stride_bytes;
    // Keeps what follows aligned; 0.
    uint32_t reserved;
    // First byte of the first row.
    const uint8_t *data;
    // At least `stride_bytes * (height_px - 1) + 3 * width_px`.
    size_t len_bytes;
    // When the camera took it, in microseconds of the client's clock; 0 when unknown.
    uint64_t captured_at_micros;
    // Counts up within a session; a gap means dropped frames.
    uint64_t sequence;
    // Which session it is of; for backends that keep state between frames. 0 for a single picture.
    uint64_t session;
    // Names this call to `SegueHost.stage` and `SegueHost.cancelled`.
    uint64_t token;
    // When the answer stops being of use, on the clock of `SegueHost.now_nanos`; 0 when the host has not decided,
    // which a host of ABI 1.1 never does.
    uint64_t deadline_nanos;
    // Since 1.1. W3C trace id of the frame; all zero when it has none. What the plugin calls over a network is told of
    // it by the header `traceparent`.
    uint8_t trace_id[16];
    // Since 1.1. The span of this call: the parent of the spans of whatever the plugin calls.
    uint8_t span_id[8];
    // Since 1.1. W3C trace flags; bit 0: it is already known that the trace is kept.
    uint32_t trace_flags;
    // Since 1.1. Keeps the size a multiple of eight; 0.
    uint32_t reserved_2;
} SegueFrame;

// Where the mask goes.
typedef struct SegueOutput {
    // Size of this struct as the host knows it.
    uint32_t struct_size;
    // Width of the mask that the host wants, in pixels. The plugin upsamples scores to it before the argmax.
    uint32_t width_px;
    // Height of the mask that the host wants, in pixels.
    uint32_t height_px;
    // 1 once the plugin has filled `labels`. The host sets it to 0 before the call.
    uint32_t written;
    // `width_px * height_px` class ids in row order. The plugin fills it all.
    uint8_t *labels;
    // Size of `labels` in bytes.
    size_t labels_len_bytes;
    // Confidence of the winning class per pixel, 255 = certain; null when nobody asked for it.
    uint8_t *confidence;
    // Size of `confidence` in bytes; 0 when null.
    size_t confidence_len_bytes;
} SegueOutput;

// The descriptor that a plugin exports as `segue_plugin_v1`: constant data, readable from the file.
typedef struct SeguePlugin {
    // `SEGUE_MAGIC`.
    uint64_t magic;
    // `SEGUE_ABI_MAJOR` of the headers that the plugin was built with.
    uint16_t abi_major;
    // `SEGUE_ABI_MINOR` of the headers that the plugin was built with.
    uint16_t abi_minor;
    // `sizeof(SeguePlugin)` there.
    uint32_t struct_size;
    // `sizeof(SegueHost)` there; a host with a smaller table refuses the plugin.
    uint32_t sizeof_host;
    // `sizeof(SegueModel)` there.
    uint32_t sizeof_model;
    // `sizeof(SegueBackendInfo)` there.
    uint32_t sizeof_info;
    // `sizeof(SegueFrame)` there.
    uint32_t sizeof_frame;
    // `sizeof(SegueOutput)` there.
    uint32_t sizeof_output;
    // `SEGUE_PLUGIN_PANIC_UNWIND`, and those of the others that hold.
    uint32_t flags;
    // Name of the backend, as profiles and models write it: `[a-z0-9-]`, padded with zeros.
    uint8_t name[32];
    // Its version, padded with zeros.
    uint8_t version[32];
    // How it was built (profile, commit, ...), for people; padded with zeros.
    uint8_t build[64];
    // Makes an instance for `model` and stores it in `instance`. May take long: it loads the weights.
    // `host` lives as long as the library is open. On failure nothing is stored.
    int32_t (*create)(const struct SegueHost *host,
                      const struct SegueModel *model,
                      void **instance,
                      struct SegueTextBuffer *error);
    // Ends an instance. No other call of it is running or follows.
    void (*destroy)(void *instance);
    // Fills `info`, whose `struct_size` the host has set.
    int32_t (*info)(void *instance, struct SegueBackendInfo *info, struct SegueTextBuffer *error);
    // Segments `frame` into `output`. The only function on the frame path.
    int32_t (*infer)(void *instance,
                     const struct SegueFrame *frame,
                     struct SegueOutput *output,
                     struct SegueTextBuffer *error);
    // Runs what the first frames would otherwise pay for (allocation, kernels, caches). Optional.
    int32_t (*warm_up)(void *instance, struct SegueTextBuffer *error);
    // Forgets what the instance keeps of `session`; of all sessions when 0. Optional. A host of ABI 1.1 does not call
    // it: bound what you keep.
    void (*reset)(void *instance, uint64_t session);
    // Stops every thread of the plugin; called after the last `destroy` of an unloadable plugin. Optional.
    void (*quiesce)(void);
    // Since 1.2. Writes an entry of the catalog, as TOML, for the model in `file`; nothing when that is not a kind of file that
    // the plugin reads. Called without any instance, by a person's command only. Optional.
    int32_t (*propose)(const struct SegueHost *host,
                       struct SegueText file,
                       struct SegueTextBuffer *entry,
                       struct SegueTextBuffer *error);
} SeguePlugin;

#ifdef __GNUC__
#define SEGUE_EXPORT __attribute__((visibility("default")))
#else
#define SEGUE_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif
// What a plugin defines, in constants alone: the host reads it from the file before any code of the plugin runs.
extern SEGUE_EXPORT const SeguePlugin segue_plugin_v1;
#ifdef __cplusplus
}
#endif

#endif // SEGUE_H
