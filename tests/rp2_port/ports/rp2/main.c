__thread int thread_local_number;
__thread char thread_local_text[36];
int ordinary_numbers[4];

int main(void) {
    thread_local_number = 1;
    thread_local_text[0] = 2;
    return ordinary_numbers[0];
}
