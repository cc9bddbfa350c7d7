// Simulator code for virtual boards: the module _standin of the unix port, on which standin_socket.py stands.
//
// Packets to and from the PC by a socket, memory without objects, and the signal that ends a wait. Nothing
// here allocates on MicroPython's heap, but for errors.

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "py/objarray.h"
#include "py/objtuple.h"
#include "py/runtime.h"

static pthread_t main_thread;

static void do_nothing(int number) {
    (void)number;
}

static void *buffer_of(mp_obj_t object, size_t *length, mp_uint_t flags) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, flags);
    *length = buffer.len;
    return buffer.buf;
}

// Called when the module is imported, by the program's main thread.
static mp_obj_t standin_init(void) {
    // A signal ends the system call in which the program waits, so that the handler runs at once.
    struct sigaction action = {.sa_handler = do_nothing};
    sigaction(SIGUSR1, &action, NULL);
    main_thread = pthread_self();
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(init_object, standin_init);

// connect(path) -> file descriptor of the PC's socket there.
static mp_obj_t standin_connect(mp_obj_t path_object) {
    size_t length;
    const char *path = mp_obj_str_get_data(path_object, &length);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (length >= sizeof(address.sun_path)) {
        mp_raise_OSError(ENAMETOOLONG);
    }
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        mp_raise_OSError(errno);
    }
    return MP_OBJ_NEW_SMALL_INT(fd);
}
static MP_DEFINE_CONST_FUN_OBJ_1(connect_object, standin_connect);

// receive(fd, buffer) -> length of the packet that was there; 0: the PC has gone; -1: there is none.
static mp_obj_t standin_receive(mp_obj_t fd, mp_obj_t target) {
    size_t room;
    void *buffer = buffer_of(target, &room, MP_BUFFER_WRITE);
    ssize_t length;
    do {
        length = recv(MP_OBJ_SMALL_INT_VALUE(fd), buffer, room, MSG_DONTWAIT);
    } while (length < 0 && errno == EINTR);
    if (length < 0 && errno != EAGAIN) {
        length = 0;
    }
    return MP_OBJ_NEW_SMALL_INT(length);
}
static MP_DEFINE_CONST_FUN_OBJ_2(receive_object, standin_receive);

// send(fd, buffer, length) -> whether the PC is still there.
static mp_obj_t standin_send(mp_obj_t fd, mp_obj_t source, mp_obj_t length_object) {
    size_t length;
    const void *buffer = buffer_of(source, &length, MP_BUFFER_READ);
    size_t wanted = MP_OBJ_SMALL_INT_VALUE(length_object);
    ssize_t sent;
    do {
        sent = send(MP_OBJ_SMALL_INT_VALUE(fd), buffer, wanted < length ? wanted : length, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return mp_obj_new_bool(sent >= 0);
}
static MP_DEFINE_CONST_FUN_OBJ_3(send_object, standin_send);

// interrupt(): what was scheduled runs now, even if the program waits.
static mp_obj_t standin_interrupt(void) {
    pthread_kill(main_thread, SIGUSR1);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(interrupt_object, standin_interrupt);

// leave(code): the process ends at once.
static mp_obj_t standin_leave(mp_obj_t code) {
    _exit(mp_obj_get_int(code));
}
static MP_DEFINE_CONST_FUN_OBJ_1(leave_object, standin_leave);

// alarm(seconds): a signal ends the process then; 0: not any more.
static mp_obj_t standin_alarm(mp_obj_t seconds) {
    alarm(mp_obj_get_int(seconds));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(alarm_object, standin_alarm);

// pause(ms): of the thread that calls it, which does no scheduled work meanwhile.
static mp_obj_t standin_pause(mp_obj_t ms_object) {
    mp_int_t ms = mp_obj_get_int(ms_object);
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(pause_object, standin_pause);

// copy(target, start, source, from, length) -> bytes copied: no more than there are, nor than there is room
// for.
static mp_obj_t standin_copy(size_t count, const mp_obj_t *arguments) {
    (void)count;
    size_t room, there;
    char *target = buffer_of(arguments[0], &room, MP_BUFFER_WRITE);
    const char *source = buffer_of(arguments[2], &there, MP_BUFFER_READ);
    size_t start = MP_OBJ_SMALL_INT_VALUE(arguments[1]), from = MP_OBJ_SMALL_INT_VALUE(arguments[3]);
    size_t length = MP_OBJ_SMALL_INT_VALUE(arguments[4]);
    room = start < room ? room - start : 0;
    there = from < there ? there - from : 0;
    length = length < room ? length : room;
    length = length < there ? length : there;
    memmove(target + start, source + from, length);
    return MP_OBJ_NEW_SMALL_INT(length);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(copy_object, 5, 5, standin_copy);

// fill(target, byte, length)
static mp_obj_t standin_fill(mp_obj_t target, mp_obj_t byte, mp_obj_t length) {
    size_t room;
    void *buffer = buffer_of(target, &room, MP_BUFFER_WRITE);
    size_t wanted = MP_OBJ_SMALL_INT_VALUE(length);
    memset(buffer, MP_OBJ_SMALL_INT_VALUE(byte), wanted < room ? wanted : room);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(fill_object, standin_fill);

// packet_event(event, received, length) -> event, a tuple (connection, handle) or (connection, handle,
// memoryview), whose contents are set in place: the C stack has it on its stack and allocates nothing.
static mp_obj_t standin_packet_event(mp_obj_t event, mp_obj_t received, mp_obj_t length) {
    size_t there;
    const uint8_t *bytes = buffer_of(received, &there, MP_BUFFER_READ);
    mp_obj_tuple_t *tuple = MP_OBJ_TO_PTR(event);
    tuple->items[0] = MP_OBJ_NEW_SMALL_INT(bytes[1] | bytes[2] << 8);
    tuple->items[1] = MP_OBJ_NEW_SMALL_INT(bytes[3] | bytes[4] << 8);
    if (tuple->len > 2) {
        ((mp_obj_array_t *)MP_OBJ_TO_PTR(tuple->items[2]))->len = MP_OBJ_SMALL_INT_VALUE(length) - 5;
    }
    return event;
}
static MP_DEFINE_CONST_FUN_OBJ_3(packet_event_object, standin_packet_event);

static const mp_rom_map_elem_t globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__standin)},
    {MP_ROM_QSTR(MP_QSTR___init__), MP_ROM_PTR(&init_object)},
    {MP_ROM_QSTR(MP_QSTR_connect), MP_ROM_PTR(&connect_object)},
    {MP_ROM_QSTR(MP_QSTR_receive), MP_ROM_PTR(&receive_object)},
    {MP_ROM_QSTR(MP_QSTR_send), MP_ROM_PTR(&send_object)},
    {MP_ROM_QSTR(MP_QSTR_interrupt), MP_ROM_PTR(&interrupt_object)},
    {MP_ROM_QSTR(MP_QSTR_leave), MP_ROM_PTR(&leave_object)},
    {MP_ROM_QSTR(MP_QSTR_alarm), MP_ROM_PTR(&alarm_object)},
    {MP_ROM_QSTR(MP_QSTR_pause), MP_ROM_PTR(&pause_object)},
    {MP_ROM_QSTR(MP_QSTR_copy), MP_ROM_PTR(&copy_object)},
    {MP_ROM_QSTR(MP_QSTR_fill), MP_ROM_PTR(&fill_object)},
    {MP_ROM_QSTR(MP_QSTR_packet_event), MP_ROM_PTR(&packet_event_object)},
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t standin_user_cmodule = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR__standin, standin_user_cmodule);
